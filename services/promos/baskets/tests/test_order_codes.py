"""Promo codes of orders: redeemed once, given back once, by the rules of baskets."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import grpc
import pytest
from scrip.common.v1 import money_pb2
from scrip.promos.internal.v1 import promos_pb2
from scrip.promos.v1 import code_pb2

from services.common.caller import SERVICE
from services.common.db import Connection
from services.common.ids import new_id
from services.promos.baskets.order_commands import give_back_order_code, redeem_order_code
from services.promos.baskets.sales import ORDERS
from services.promos.codes import NewRedemption
from services.promos.tests.baskets_help import Baskets, NewCode, amount, percent
from services.promos.tests.support import at_once
from tests.inprocess import bearer, reason, refusal

NOBODY = str(UUID(int=0))
PRICE = 10_000


@dataclass(frozen=True)
class Orders:
    """What vouchers asks for its orders."""

    baskets: Baskets

    async def quote(
        self, member: UUID, code: NewCode | str, price: int = PRICE, currency: str = "USD", address: str = ""
    ) -> promos_pb2.QuoteOrderCodeResponse:
        """Returns what a code takes off."""
        promos = self.baskets.promos
        request = promos_pb2.QuoteOrderCodeRequest(
            member_id=str(member),
            code=code if isinstance(code, str) else code.text,
            price=money_pb2.Money(currency_code=currency, amount_minor=price),
            client_address=address,
        )
        return await promos.internal.QuoteOrderCode(request, metadata=bearer(promos.vouchers))

    async def redeem(
        self, order: UUID, member: UUID, code: NewCode, discount: int = 1_000, price: int = PRICE
    ) -> None:
        """Redeems a code for an order."""
        promos = self.baskets.promos
        request = promos_pb2.RedeemOrderCodeRequest(
            order_id=str(order),
            code_id=str(code.id),
            member_id=str(member),
            price=money_pb2.Money(currency_code="USD", amount_minor=price),
            discount_minor=discount,
        )
        await promos.internal.RedeemOrderCode(request, metadata=bearer(promos.vouchers))

    async def give_back(self, order: UUID) -> None:
        """Undoes that."""
        promos = self.baskets.promos
        request = promos_pb2.GiveBackOrderCodeRequest(order_id=str(order))
        await promos.internal.GiveBackOrderCode(request, metadata=bearer(promos.vouchers))


@pytest.fixture
def orders(baskets: Baskets) -> Orders:
    """The promo codes of orders."""
    return Orders(baskets)


@pytest.mark.covers(
    "V2 PromosInternalService.QuoteOrderCode",
    "V2 PromosInternalService.RedeemOrderCode",
    "V2 PromosInternalService.GiveBackOrderCode",
)
async def test_a_code_is_redeemed_once_given_back_once_and_seen_in_the_lists(
    baskets: Baskets, orders: Orders
) -> None:
    member, order = new_id(), new_id()
    code = await baskets.code(percent(10), owner=member)
    quote = await orders.quote(member, code.text.lower(), price=10_005)
    assert (quote.code_id, quote.discount_minor) == (str(code.id), 1_001)  # 1,000.5, rounded half up
    for _ in range(2):
        await orders.redeem(order, member, code, 1_001, price=10_005)
    assert await baskets.uses(code) == 1
    [redemption] = (await baskets.promos.list_redemptions(sale_reference=str(order))).redemptions
    assert (redemption.redeemed_by, redemption.member_id, redemption.code_id) == (
        NOBODY,
        str(member),
        str(code.id),
    )
    assert redemption.discount == money_pb2.Money(currency_code="USD", amount_minor=1_001)
    history = await baskets.promos.value(
        "SELECT caller_role FROM redemptions WHERE sale_reference = %(sale)s", sale=str(order)
    )
    assert history == SERVICE

    for _ in range(2):
        await orders.give_back(order)
    assert await baskets.uses(code) == 0
    [redemption] = (await baskets.promos.list_redemptions(sale_reference=str(order))).redemptions
    assert redemption.cancelled_by == NOBODY
    name, status, metadata = await refusal(orders.redeem(order, member, code, 1_001, price=10_005))
    assert (name, status) == ("ORDER_UNDONE", grpc.StatusCode.FAILED_PRECONDITION)
    assert metadata == {"order_id": str(order)}
    await orders.redeem(new_id(), member, code)


@pytest.mark.covers("V2 PromosInternalService.GiveBackOrderCode")
async def test_an_order_that_was_undone_before_never_redeems(baskets: Baskets, orders: Orders) -> None:
    member, order = new_id(), new_id()
    code = await baskets.code(percent(10), owner=member)
    await orders.give_back(order)
    assert await reason(orders.redeem(order, member, code)) == "ORDER_UNDONE"
    assert await baskets.uses(code) == 0


@pytest.mark.covers("V2 PromosInternalService.QuoteOrderCode")
async def test_strangers_codes_look_as_if_they_did_not_exist_and_guesses_are_limited(
    baskets: Baskets, orders: Orders
) -> None:
    member = new_id()
    others = await baskets.code(percent(10), owner=new_id())
    nobodys = await baskets.code(percent(10), state="READY")
    refusals = [await refusal(orders.quote(member, code)) for code in (others, nobodys, "7" * 12)]
    assert [name for name, _, _ in refusals] == 3 * ["CODE_NOT_VALID"]
    assert refusals[0] == refusals[1] == refusals[2]
    limit = baskets.promos.platform.settings["promos"].wrong_codes_per_minute
    _, counted = await at_once(orders.quote(member, "7" * 12) for _ in range(limit))
    assert counted["TOO_MANY_REQUESTS"] > 0
    mine = await baskets.code(percent(10), owner=member)
    assert await reason(orders.quote(member, mine)) == "TOO_MANY_REQUESTS"
    assert (await orders.quote(new_id(), await baskets.code(amount(5)))).discount_minor == 5
    # What is known to be a code is no guess, whatever the member has tried.
    await orders.redeem(new_id(), member, mine)


@pytest.mark.covers("V2 PromosInternalService.QuoteOrderCode")
async def test_an_order_is_a_basket_of_one_line(baskets: Baskets, orders: Orders) -> None:
    member = new_id()
    vouchers = await baskets.code(percent(50, categories=("Vouchers",), maximum_discount=700))
    assert (await orders.quote(member, vouchers)).discount_minor == 700
    bakery = await baskets.code(percent(50, categories=("bakery",)))
    assert await reason(orders.quote(member, bakery)) == "NO_LINE_APPLIES"
    much = await baskets.code(amount(500, minimum_spend=PRICE))
    assert (await orders.quote(member, much)).discount_minor == 500
    assert await reason(orders.quote(member, much, PRICE - 1)) == "MINIMUM_SPEND_NOT_REACHED"
    assert (await orders.quote(member, await baskets.code(amount(500)), 200)).discount_minor == 200
    assert await reason(orders.quote(member, much, currency="JPY")) == "CURRENCY_NOT_SUPPORTED"


@pytest.mark.covers("V2 PromosInternalService.RedeemOrderCode")
async def test_what_was_quoted_is_judged_again_when_it_is_redeemed(baskets: Baskets, orders: Orders) -> None:
    member, other, order = new_id(), new_id(), new_id()
    shared = await baskets.code(percent(10))
    await orders.quote(member, shared)
    await orders.redeem(new_id(), other, shared)
    assert await reason(orders.redeem(order, member, shared)) == "CODE_ALREADY_USED"

    owned = await baskets.code(percent(10), owner=other)
    assert await reason(orders.redeem(order, member, owned)) == "CODE_NOT_VALID"

    mine = await baskets.code(percent(10), owner=member)
    name, status, metadata = await refusal(orders.redeem(order, member, mine, 999))
    assert (name, status) == ("ORDER_DISCOUNT_DIFFERS", grpc.StatusCode.FAILED_PRECONDITION)
    assert metadata == {"code_id": str(mine.id), "quoted_minor": "999", "discount_minor": "1000"}
    assert await baskets.uses(mine) == 0

    await orders.redeem(order, member, mine)
    assert await reason(orders.redeem(order, member, mine, price=10_001)) == "REDEMPTION_CONFLICT"
    [redemption] = (await baskets.promos.list_redemptions(sale_reference=str(order))).redemptions
    await baskets.promos.codes.CancelRedemption(
        code_pb2.CancelRedemptionRequest(redemption_id=redemption.id), metadata=bearer(baskets.promos.admin)
    )
    assert await reason(orders.redeem(order, member, mine)) == "REDEMPTION_CANCELLED"
    await orders.give_back(order)  # staff gave the use back: it is not given back twice
    assert await baskets.uses(mine) == 0


@pytest.mark.covers("V2 PromosInternalService.RedeemOrderCode")
async def test_limits_of_members_and_first_purchases_hold_for_orders_and_come_back(
    baskets: Baskets, orders: Orders
) -> None:
    member, first = (await baskets.promos.platform.member()).id, new_id()
    for benefit, why in (
        (percent(10, first_purchase_only=True), "NOT_FIRST_PURCHASE"),
        (percent(10), "CODE_MEMBER_LIMIT"),
    ):
        limit = None if benefit.first_purchase_only else 1
        one = await baskets.code(benefit, uses_per_member=limit)
        another = await baskets.code(benefit, like=one)
        second = new_id()
        await orders.redeem(first, member, one)
        assert await reason(orders.redeem(second, member, another)) == why
        await orders.give_back(first)
        await orders.redeem(second, member, another)
        await orders.give_back(second)
        first = new_id()


@pytest.mark.covers("V2 PromosInternalService.RedeemOrderCode", "V2 PromosInternalService.GiveBackOrderCode")
async def test_crowds_redeem_once_and_what_undoes_an_order_wins(baskets: Baskets, orders: Orders) -> None:
    member, order, undone = new_id(), new_id(), new_id()
    code = await baskets.code(percent(10), uses=3)
    replies, refused = await at_once(orders.redeem(order, member, code) for _ in range(8))
    assert (len(replies), refused) == (8, {})
    assert await baskets.uses(code) == 1
    calls = [orders.redeem(undone, member, code), orders.give_back(undone)]
    _, refused = await at_once(
        itertools.chain(calls, (orders.redeem(undone, member, code) for _ in range(4)))
    )
    assert set(refused) <= {"ORDER_UNDONE"}
    assert await baskets.uses(code) == 1
    last = await baskets.code(percent(10))
    ids = [new_id() for _ in range(6)]
    replies, refused = await at_once(orders.redeem(one, new_id(), last) for one in ids)
    assert (len(replies), refused) == (1, {"CODE_ALREADY_USED": 5})


class KilledError(Exception):
    """As if the process had been killed."""


@dataclass
class Dying:
    """A connection that dies before one of its statements."""

    connection: Connection
    left: int

    def __getattr__(self, name: str) -> Any:
        if name in ("cursor", "execute"):
            if self.left == 0:
                raise KilledError
            self.left -= 1
        return getattr(self.connection, name)


@pytest.mark.covers("V2 PromosInternalService.RedeemOrderCode", "V2 PromosInternalService.GiveBackOrderCode")
async def test_whatever_statement_dies_a_code_is_redeemed_and_given_back_once(
    baskets: Baskets, orders: Orders
) -> None:
    db, member, order = baskets.promos.db, new_id(), new_id()
    code = await baskets.code(percent(10, first_purchase_only=True), owner=member)

    async def until_done(step: Any) -> int:
        """Repeats a step that dies one statement later each time; returns how many it took."""
        for lives in itertools.count():

            async def dies(connection: Connection, lives: int = lives) -> None:
                dying = Dying(connection, lives)
                await step(cast("Connection", dying))
                if dying.left == 0:
                    raise KilledError  # before its COMMIT

            uses = await baskets.uses(code)
            try:
                await db.run(dies)
            except KilledError:
                assert await baskets.uses(code) == uses
            else:
                return lives
        raise AssertionError

    new = NewRedemption(
        ORDERS, code.text, "", str(order), member, discount_minor=1_000, currency_code="USD", basket_hash=b"1"
    )
    first = {member: {code.id: new.id}}

    async def redeem(connection: Connection) -> None:
        await redeem_order_code(connection, order, new, fingerprint=b"1", first_purchases=first)

    async def give_back(connection: Connection) -> None:
        await give_back_order_code(connection, order)

    assert await until_done(redeem) > 3
    assert await baskets.uses(code) == 1
    assert await until_done(give_back) > 2
    assert await baskets.uses(code) == 0
    assert await reason(orders.redeem(order, member, code)) == "ORDER_UNDONE"
