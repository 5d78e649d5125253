"""What the machine of orders and gifts drives, and the model that it is compared with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar
from uuid import UUID

import grpc
from scrip.common.v1 import money_pb2
from scrip.points.v1 import points_pb2, points_pb2_grpc
from scrip.vouchers.v1 import catalogue_pb2, order_pb2, order_pb2_grpc, payment_pb2, payment_pb2_grpc

from services.common.ids import new_id
from services.vouchers.gifts.tests.giving import Giving
from tests import invariants
from tests.inprocess import Member, as_client, bearer, eventually, reason

T = TypeVar("T")
DONE = "DONE"
POINTS = 1_500
"""What each member has at first."""
PRICE = money_pb2.Money(currency_code="USD", amount_minor=1_250)
Card = Literal["GOOD", "DECLINED", "ASKS", "UNHEARD", "TWICE"]
NUMBERS: dict[Card, str] = {
    "GOOD": "4242424242424242",
    "DECLINED": "4000000000000002",
    "ASKS": "4000002500003155",
    "UNHEARD": "4000000000000119",
    "TWICE": "4000000000002222",
}
UNDONE = ("FAILED", "CANCELLED", "REFUNDED")


@dataclass
class ModelVoucher:
    """A voucher with a small stock; limits of 0 are none."""

    points: int = 0
    money: bool = False
    stock: int = 4
    per_member: int = 0
    gifts: bool = False
    per_recipient: int = 0
    id: str = ""

    def fields(self) -> dict[str, Any]:
        """Returns what staff create it with."""
        fields: dict[str, Any] = {
            "price_points": self.points,
            "quantity": self.stock,
            "cancel_days": 14,
            "max_per_member": self.per_member,
            "max_gifts_per_recipient": self.per_recipient,
        }
        if self.money:
            fields["price"] = PRICE
        if self.money and self.points:
            fields["price_rule"] = "PRICE_RULE_TOGETHER"
        if self.gifts:
            fields["buy_type"] = catalogue_pb2.BUY_TYPE_GIFT
        return fields


@dataclass
class ModelOrder:
    """An order, or a try at one that left nothing (`state` FAILED and no `id`)."""

    member: int
    voucher: ModelVoucher
    quantity: int
    card: Card
    key: str
    state: str = "FAILED"
    reason: str = ""
    id: str = ""
    redirect: str = ""

    @property
    def counts(self) -> bool:
        """Whether its stock and points are taken."""
        return self.state not in UNDONE


@dataclass
class ModelPiece:
    """A wallet voucher and its code."""

    id: str
    code: str
    order: ModelOrder
    owner: int
    used: bool = False
    offered: bool = False

    @property
    def void(self) -> bool:
        """Whether its order was refunded."""
        return self.order.state == "REFUNDED"


@dataclass
class ModelGift:
    """A piece on its way to a member."""

    id: str
    key: str
    piece: ModelPiece
    giver: int
    to: int
    state: str = "OFFERED"


@dataclass
class Model:
    """All that should be."""

    vouchers: list[ModelVoucher]
    orders: list[ModelOrder] = field(default_factory=list)
    pieces: list[ModelPiece] = field(default_factory=list)
    gifts: list[ModelGift] = field(default_factory=list)

    def balance(self, member: int) -> int:
        """Returns the points that a member has left."""
        mine = (one for one in self.orders if one.member == member and one.counts)
        return POINTS - sum(one.voucher.points * one.quantity for one in mine)

    def issued(self, voucher: ModelVoucher, member: int | None = None) -> int:
        """Returns how many pieces are taken, by all or by one member."""
        return sum(
            one.quantity
            for one in self.orders
            if one.voucher is voucher and one.counts and member in (None, one.member)
        )

    def refusal_to_place(self, order: ModelOrder) -> str:
        """Returns why an order is refused, or DONE."""
        voucher, wanted = order.voucher, order.quantity
        most = voucher.per_member
        reasons = {
            "SOLD_OUT": self.issued(voucher) + wanted > voucher.stock,
            "MEMBER_LIMIT_REACHED": most and self.issued(voucher, order.member) + wanted > most,
            "INSUFFICIENT_POINTS": voucher.points * wanted > self.balance(order.member),
            "PAYMENT_DECLINED": voucher.money and order.card == "DECLINED",
        }
        return next((name for name, holds in reasons.items() if holds), DONE)

    def refusal_to_end(self, order: ModelOrder, *, by_staff: bool) -> str:
        """Returns why an order is not cancelled or refunded, or DONE."""
        if order.state == "COMPLETED":
            stuck = any(one.used or one.owner != order.member for one in self.of_order(order))
            return "ORDER_CODES_USED" if stuck else DONE
        if by_staff and order.state in UNDONE:
            return "ORDER_NOT_REFUNDABLE"
        return "ORDER_NOT_CANCELLABLE" if order.state == "FAILED" else DONE

    def refusal_to_give(self, piece: ModelPiece, giver: int, to: int) -> str:
        """Returns why a piece is not given, or DONE."""
        voucher = piece.order.voucher
        given = sum(
            one.piece.order.voucher is voucher and one.to == to and one.state != "RETURNED"
            for one in self.gifts
        )
        reasons = {
            "GIFT_TO_ONESELF": giver == to,
            "WALLET_VOUCHER_NOT_FOUND": piece.owner != giver,
            "WALLET_VOUCHER_ON_OFFER": piece.offered,
            "GIFT_NOT_ALLOWED": not voucher.gifts,
            "RECIPIENT_LIMIT_REACHED": voucher.per_recipient and given >= voucher.per_recipient,
            "CODE_VOID": piece.void,
            "CODE_ALREADY_USED": piece.used,
        }
        return next((name for name, holds in reasons.items() if holds), DONE)

    def of_order(self, order: ModelOrder) -> list[ModelPiece]:
        """Returns the pieces of an order."""
        return [one for one in self.pieces if one.order is order]

    def end_gift(self, gift: ModelGift, state: str) -> None:
        """A gift is accepted or returned."""
        if gift.state == "OFFERED":
            gift.state, gift.piece.offered = state, False
            if state == "ACCEPTED":
                gift.piece.owner = gift.to

    def refunded(self, order: ModelOrder) -> None:
        """All of an order goes back, and what of it is on offer."""
        order.state = "REFUNDED"
        for gift in self.gifts:
            if gift.piece.order is order:
                self.end_gift(gift, "RETURNED")


@dataclass
class World:
    """The real services, driven from another thread."""

    giving: Giving
    method_id: str
    admin: str
    loop: asyncio.AbstractEventLoop

    def do(self, work: Awaitable[T]) -> T:
        """Does it in the loop where the services live."""
        return asyncio.run_coroutine_threadsafe(_done(work), self.loop).result(60)

    def outcome(self, work: Awaitable[Any]) -> tuple[str, Any]:
        """Returns DONE and the reply, or why a call was refused."""
        return self.do(_outcome(work))

    @property
    def orders(self) -> order_pb2_grpc.OrderServiceStub:
        """OrderService."""
        return order_pb2_grpc.OrderServiceStub(self.giving.platform.channels["vouchers"])

    async def place(self, member: Member, order: ModelOrder) -> order_pb2.Order:
        """Places an order; returns it once it has ended or waits for its payment."""
        request = order_pb2.PlaceOrderRequest(voucher_id=order.voucher.id, quantity=order.quantity)
        if order.voucher.money:
            request.payment_method_id = self.method_id
            card = payment_pb2.Card(number=NUMBERS[order.card], expiry_month=12, expiry_year=2050, cvc="123")
            request.card.CopyFrom(card)

        async def settled() -> order_pb2.Order:
            metadata = bearer(member.token, idempotency_key=order.key)
            placed = (await as_client(self.orders.PlaceOrder, request, metadata=metadata)).order
            assert state_of(placed) not in ("PENDING", "UNDOING")
            return placed

        return await eventually(settled, seconds=20)

    async def becomes(self, member: Member, order: ModelOrder, state: str) -> order_pb2.Order:
        """Returns the order once it has come to a state."""
        request = order_pb2.GetMyOrderRequest(order_id=order.id)

        async def check() -> order_pb2.Order:
            found = (await self.orders.GetMyOrder(request, metadata=bearer(member.token))).order
            assert state_of(found) == state, found
            return found

        return await eventually(check, seconds=20)

    async def confirm(self, order: ModelOrder, *, approve: bool) -> None:
        """Does what the holder of a card does at the bank."""
        bank = payment_pb2_grpc.SandboxPaymentServiceStub(self.giving.platform.channels["vouchers"])
        token = order.redirect.partition("#")[2]
        request = payment_pb2.ConfirmSandboxPaymentRequest(payment_id=order.id, token=token, approve=approve)
        await bank.ConfirmSandboxPayment(request)

    async def cancel(self, member: Member, order: ModelOrder) -> str:
        """Cancels an order as its member; returns its state."""
        request = order_pb2.CancelMyOrderRequest(order_id=order.id)
        reply = await as_client(self.orders.CancelMyOrder, request, metadata=bearer(member.token))
        return state_of(reply.order)

    async def refund(self, order: ModelOrder) -> str:
        """Refunds an order as staff; returns its state."""
        request = order_pb2.RefundOrderRequest(order_id=order.id, note="asked for")
        metadata = bearer(self.admin, idempotency_key=str(new_id()))
        return state_of((await as_client(self.orders.RefundOrder, request, metadata=metadata)).order)

    async def balance(self, member: Member) -> int:
        """Returns the points of a member."""
        stub = points_pb2_grpc.PointsServiceStub(self.giving.platform.channels["points"])
        request = points_pb2.GetMyBalanceRequest()
        return (await stub.GetMyBalance(request, metadata=bearer(member.token))).balance

    async def issued(self, voucher: ModelVoucher) -> int:
        """Returns how many pieces of a voucher are taken."""
        query = "SELECT issued FROM vouchers WHERE id = %(id)s"
        return int(await self.giving.value(query, id=UUID(voucher.id)))

    async def books_agree(self) -> None:
        """Asserts the invariants, once what other tests left has ended too."""
        platform = self.giving.platform
        databases = {name: platform.postgres.url(name) for name in platform.databases}

        async def hold() -> None:
            invariants.check_stock(databases["vouchers"])
            invariants.check_codes(databases["promos"])
            invariants.check_orders(databases, foreign_debits=True)
            invariants.check_gifts(databases)

        await eventually(hold, seconds=20)


def state_of(order: order_pb2.Order) -> str:
    """Returns the state of an order as the database names it."""
    return order_pb2.OrderState.Name(order.state).removeprefix("ORDER_STATE_")


async def _done(work: Awaitable[T]) -> T:
    return await work


async def _outcome(work: Awaitable[Any]) -> tuple[str, Any]:
    task = asyncio.ensure_future(work)
    try:
        return DONE, await task
    except grpc.aio.AioRpcError:
        return await reason(task), None
