"""Random histories of orders, payments and gifts, compared with a model: INV2, INV4, INV5."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar
from typing import TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from scrip.vouchers.v1 import payment_method_pb2, payment_method_pb2_grpc, wallet_pb2

from services.common.ids import new_id
from services.vouchers.gifts.tests.giving import Giving
from services.vouchers.tests.machine import (
    DONE,
    NUMBERS,
    POINTS,
    Card,
    Model,
    ModelGift,
    ModelOrder,
    ModelPiece,
    ModelVoucher,
    World,
)
from services.vouchers.tests.support import Create, Earn, Order
from tests.inprocess import Platform, bearer, eventually

T = TypeVar("T")
who = st.integers(0, 1)
number = st.integers(0, 9)
VOID = wallet_pb2.WALLET_VOUCHER_STATE_VOID
cards = st.sampled_from(sorted(NUMBERS))
_world: ContextVar[World] = ContextVar("world")


class Shop(RuleBasedStateMachine):
    """Two members and three vouchers: for points, for money, for both."""

    def __init__(self) -> None:
        super().__init__()
        self.world = _world.get()
        self.giving = self.world.giving

    @initialize()
    def begin(self) -> None:
        """New members with points, new vouchers with few pieces."""
        self.members = [self.world.do(self.giving.platform.member()) for _ in range(2)]
        for member in self.members:
            self.world.do(self.giving.earn(member, POINTS))
        self.model = Model(
            [
                ModelVoucher(points=300, gifts=True, per_recipient=1),
                ModelVoucher(money=True, stock=3, per_member=2),
                ModelVoucher(points=400, money=True, gifts=True),
            ]
        )
        for voucher in self.model.vouchers:
            voucher.id = self.world.do(self.giving.create(**voucher.fields())).id
        self.place(0, 0, 1, "GOOD")
        self.place(1, 2, 1, "ASKS")

    @rule(member=who, voucher=number, quantity=st.integers(1, 2), card=cards)
    def place(self, member: int, voucher: int, quantity: int, card: Card) -> None:
        """A member orders, with a card that does as its kind does."""
        kind = self.model.vouchers[voucher % 3]
        order = ModelOrder(member, kind, quantity, card, str(new_id()))
        expected = self.model.refusal_to_place(order)
        outcome, placed = self.world.outcome(self.world.place(self.members[member], order))
        assert outcome == expected
        order.reason = outcome
        if placed is not None:
            order.id, order.redirect = placed.id, placed.redirect_url
            order.state = "AWAITING_PAYMENT" if kind.money and card == "ASKS" else "COMPLETED"
            self._is(order)
        self.model.orders.append(order)

    @precondition(lambda self: self._tried())
    @rule(which=number)
    def place_again(self, which: int) -> None:
        """An app repeats an order with its key: it finds what became of it."""
        order = _pick(self._tried(), which)
        outcome, placed = self.world.outcome(self.world.place(self.members[order.member], order))
        refused = order.state in ("FAILED", "CANCELLED")
        assert outcome == (order.reason if refused else DONE)
        assert refused or placed.id == order.id

    @precondition(lambda self: self._in("AWAITING_PAYMENT"))
    @rule(which=number, approve=st.booleans())
    def confirm(self, which: int, approve: bool) -> None:
        """The holder of the card confirms the payment, or does not."""
        order = _pick(self._in("AWAITING_PAYMENT"), which)
        self.world.do(self.world.confirm(order, approve=approve))
        order.state, order.reason = ("COMPLETED", DONE) if approve else ("FAILED", "PAYMENT_DECLINED")
        self._is(order)

    @precondition(lambda self: self._in("AWAITING_PAYMENT"))
    @rule(which=number)
    def time_out(self, which: int) -> None:
        """The time to pay passes; the sweep finds the order."""
        order = _pick(self._in("AWAITING_PAYMENT"), which)
        over = "UPDATE orders SET pay_until = now(), deadline_at = now() WHERE id = %(id)s"
        self.world.do(self.giving.run(over, id=UUID(order.id)))
        order.state, order.reason = "FAILED", "ORDER_PAYMENT_EXPIRED"
        self._is(order)

    @precondition(lambda self: self._known())
    @rule(which=number, by_staff=st.booleans())
    def end(self, which: int, by_staff: bool) -> None:
        """The member cancels an order, or staff refund it; perhaps one that has ended."""
        order = _pick(self._known(), which)
        expected = self.model.refusal_to_end(order, by_staff=by_staff)
        call = self.world.refund(order) if by_staff else self.world.cancel(self.members[order.member], order)
        outcome, state = self.world.outcome(call)
        assert outcome == expected
        if outcome == DONE:
            if order.state == "AWAITING_PAYMENT":
                order.state, order.reason = "CANCELLED", "ORDER_CANCELLED"
            elif order.state == "COMPLETED":
                self.model.refunded(order)
            assert state == order.state

    @precondition(lambda self: self.model.pieces)
    @rule(which=number, to=who, owner=st.sampled_from([True, True, True, False]))
    def give(self, which: int, to: int, owner: bool) -> None:
        """A member gives a piece to a number, perhaps one that is not the member's or on offer."""
        piece = _pick(self.model.pieces, which)
        giver = piece.owner if owner else 1 - piece.owner
        expected = self.model.refusal_to_give(piece, giver, to)
        key = str(new_id())
        outcome, gift = self.world.outcome(
            self.giving.give(self.members[giver], piece.id, self.members[to].phone, key=key)
        )
        assert outcome == expected
        if outcome == DONE:
            piece.offered = True
            self.model.gifts.append(ModelGift(gift.id, key, piece, giver, to))

    @precondition(lambda self: self.model.gifts)
    @rule(which=number)
    def give_again(self, which: int) -> None:
        """An app repeats a gift with its key: there is no second one."""
        gift = _pick(self.model.gifts, which)
        giver, phone = self.members[gift.giver], self.members[gift.to].phone
        assert self.world.do(self.giving.give(giver, gift.piece.id, phone, key=gift.key)).id == gift.id

    @precondition(lambda self: self.model.gifts)
    @rule(which=number)
    def accept(self, which: int) -> None:
        """The recipient accepts, perhaps again; one that was withdrawn is not there any more."""
        gift = _pick(self.model.gifts, which)
        outcome, _ = self.world.outcome(self.giving.accept(self.members[gift.to], gift.id))
        if gift.state == "RETURNED":
            assert outcome in ("GIFT_ENDED", "GIFT_NOT_FOUND")
            return
        assert outcome == DONE
        self._ended(gift, "ACCEPTED")

    @precondition(lambda self: self.model.gifts)
    @rule(which=number, withdraws=st.booleans())
    def send_back(self, which: int, withdraws: bool) -> None:
        """The recipient declines, or the giver withdraws; perhaps again."""
        gift = _pick(self.model.gifts, which)
        call = (
            self.giving.withdraw(self.members[gift.giver], gift.id)
            if withdraws
            else self.giving.decline(self.members[gift.to], gift.id)
        )
        outcome, _ = self.world.outcome(call)
        if gift.state == "ACCEPTED":
            assert outcome == "GIFT_ACCEPTED"
        elif gift.state == "RETURNED" and not withdraws:
            assert outcome in (DONE, "GIFT_NOT_FOUND")
        else:
            assert outcome == DONE
            self._ended(gift, "RETURNED")

    @precondition(lambda self: self._offered())
    @rule(which=number)
    def return_in_time(self, which: int) -> None:
        """Nobody accepts a gift in its time."""
        gift = _pick(self._offered(), which)
        over = "UPDATE gifts SET returns_at = now() WHERE id = %(id)s"
        self.world.do(self.giving.run(over, id=UUID(gift.id)))
        self.world.do(self.giving.return_overdue())
        self._ended(gift, "RETURNED")

    @precondition(lambda self: self.model.pieces)
    @rule(which=number)
    def redeem(self, which: int) -> None:
        """A till redeems a code: usable, on offer, used or void."""
        piece = _pick(self.model.pieces, which)
        reasons = {
            "CODE_VOID": piece.void,
            "CODE_ON_HOLD": piece.offered,
            "CODE_ALREADY_USED": piece.used,
        }
        outcome, reply = self.world.outcome(self.giving.redeem(piece.code))
        assert outcome == next((name for name, holds in reasons.items() if holds), DONE)
        if outcome == DONE:
            assert reply.redemption.member_id == str(self.members[piece.owner].id)
            piece.used = True

    @invariant()
    def the_services_agree_with_the_model(self) -> None:
        """Stock, points, and who owns what, with which code."""
        if hasattr(self, "model"):
            self.world.do(eventually(self._agree, seconds=20))

    async def _agree(self) -> None:
        for voucher in self.model.vouchers:
            assert await self.world.issued(voucher) == self.model.issued(voucher)
        for place, member in enumerate(self.members):
            assert await self.world.balance(member) == self.model.balance(place)
            mine = [one for one in self.model.pieces if one.owner == place and not one.void]
            found = await self.giving.wallet(member)
            seen = {one.id: one.code for one in found if one.state != VOID}
            assert seen == {one.id: "" if one.offered else one.code for one in mine}

    def teardown(self) -> None:
        """What is open is ended; all books agree."""
        if not hasattr(self, "model"):
            return
        for gift in self._offered():
            self.world.do(self.giving.withdraw(self.members[gift.giver], gift.id))
            self._ended(gift, "RETURNED")
        for order in self._in("AWAITING_PAYMENT"):
            self.world.do(self.world.cancel(self.members[order.member], order))
        self.world.do(self.world.books_agree())

    def _is(self, order: ModelOrder) -> None:
        """Asserts what became of an order; takes the pieces of a completed one into the model."""
        member = self.members[order.member]
        found = self.world.do(self.world.becomes(member, order, order.state))
        for wallet_id in found.wallet_voucher_ids:
            code = self.world.do(self.giving.code(member, wallet_id))
            self.model.pieces.append(ModelPiece(wallet_id, code, order, order.member))

    def _ended(self, gift: ModelGift, state: str) -> None:
        self.world.do(eventually(lambda: self.giving.has_ended(gift.id), seconds=20))
        self.model.end_gift(gift, state)

    def _tried(self) -> list[ModelOrder]:
        """Returns the orders that were placed, those that nothing was left of aside."""
        nothing = ("SOLD_OUT", "MEMBER_LIMIT_REACHED")
        return [one for one in self.model.orders if one.reason not in nothing]

    def _known(self) -> list[ModelOrder]:
        return [one for one in self.model.orders if one.id]

    def _in(self, state: str) -> list[ModelOrder]:
        return [one for one in self.model.orders if one.state == state]

    def _offered(self) -> list[ModelGift]:
        return [one for one in self.model.gifts if one.state == "OFFERED"]


def _pick(things: Sequence[T], which: int) -> T:
    """Returns one, the newest ones before the others."""
    return things[-1 - which % len(things)]


@pytest.fixture
async def world(platform: Platform, create: Create, earn: Earn, order: Order) -> World:
    """All services, and a way to pay."""
    admin = await platform.admin()
    stub = payment_method_pb2_grpc.PaymentMethodServiceStub(platform.channels["vouchers"])
    request = payment_method_pb2.CreatePaymentMethodRequest(name="Card", provider="SANDBOX")
    metadata = bearer(admin, idempotency_key=str(new_id()))
    method_id = (await stub.CreatePaymentMethod(request, metadata=metadata)).payment_method.id
    return World(Giving(platform, create, earn, order), method_id, admin, asyncio.get_running_loop())


@pytest.mark.covers("V3 OrderService.PlaceOrder", "V5 GiftService.GiveVoucher")
@pytest.mark.timeout(300)
async def test_whatever_happens_orders_and_gifts_are_paid_and_owned_once(world: World) -> None:
    bounds = settings(
        max_examples=6,
        stateful_step_count=20,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    _world.set(world)
    await asyncio.to_thread(run_state_machine_as_test, Shop, settings=bounds)
