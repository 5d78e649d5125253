"""Orders that are paid with money: paid once or not at all, and given back whole."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from scrip.common.v1 import money_pb2
from scrip.identity.v1 import audit_pb2, audit_pb2_grpc
from scrip.promos.v1 import code_pb2, code_pb2_grpc
from scrip.vouchers.v1 import (
    order_pb2,
    order_pb2_grpc,
    payment_method_pb2,
    payment_method_pb2_grpc,
    payment_pb2,
    payment_pb2_grpc,
    wallet_pb2,
    wallet_pb2_grpc,
)

from services.common.db import execute, fetch_value
from services.common.ids import new_id
from services.vouchers.orders.tests.test_orders import balance, check_invariants, issued
from services.vouchers.payments import PaymentAwaitedError, Payments
from services.vouchers.tests.support import Create, Earn
from tests.inprocess import Member, Platform, as_client, bearer, eventually, reason, refusal

COMPLETED, FAILED = order_pb2.ORDER_STATE_COMPLETED, order_pb2.ORDER_STATE_FAILED
AWAITING, CANCELLED = order_pb2.ORDER_STATE_AWAITING_PAYMENT, order_pb2.ORDER_STATE_CANCELLED
REFUNDED = order_pb2.ORDER_STATE_REFUNDED
GOOD, DECLINED, ASKS, UNHEARD, TWICE = (
    "4242424242424242",
    "4000000000000002",
    "4000002500003155",
    "4000000000000119",
    "4000000000002222",
)
PRICE = money_pb2.Money(currency_code="USD", amount_minor=1_250)


@pytest.fixture(scope="session")
async def method_id(platform: Platform) -> str:
    """Paying by test cards."""
    stub = payment_method_pb2_grpc.PaymentMethodServiceStub(platform.channels["vouchers"])
    request = payment_method_pb2.CreatePaymentMethodRequest(name="Card", provider="SANDBOX")
    metadata = bearer(await platform.admin(), idempotency_key=str(new_id()))
    return (await stub.CreatePaymentMethod(request, metadata=metadata)).payment_method.id


@pytest.fixture
def orders(platform: Platform) -> order_pb2_grpc.OrderServiceStub:
    return order_pb2_grpc.OrderServiceStub(platform.channels["vouchers"])


Pay = Callable[..., Awaitable[order_pb2.Order]]


@pytest.fixture
def pay(method_id: str, orders: order_pb2_grpc.OrderServiceStub) -> Pay:
    """Orders by card, as a member does."""

    async def place(
        member: Member, voucher_id: str, card: str = "", key: str = "", **fields: Any
    ) -> order_pb2.Order:
        request = order_pb2.PlaceOrderRequest(voucher_id=voucher_id, payment_method_id=method_id, **fields)
        if card:
            request.card.CopyFrom(payment_pb2.Card(number=card, expiry_month=12, expiry_year=2050, cvc="123"))
        metadata = bearer(member.token, idempotency_key=key or str(new_id()))
        return (await as_client(orders.PlaceOrder, request, metadata=metadata)).order

    return place


@pytest.fixture
def get(orders: order_pb2_grpc.OrderServiceStub) -> Pay:
    async def read(member: Member, order: order_pb2.Order) -> order_pb2.Order:
        request = order_pb2.GetMyOrderRequest(order_id=order.id)
        return (await orders.GetMyOrder(request, metadata=bearer(member.token))).order

    return read


@pytest.fixture
def cancel(orders: order_pb2_grpc.OrderServiceStub) -> Pay:
    async def ask(member: Member, order: order_pb2.Order, note: str = "") -> order_pb2.Order:
        request = order_pb2.CancelMyOrderRequest(order_id=order.id, note=note)
        return (await orders.CancelMyOrder(request, metadata=bearer(member.token))).order

    return ask


@pytest.fixture
def refund(orders: order_pb2_grpc.OrderServiceStub) -> Pay:
    async def ask(token: str, order: order_pb2.Order, key: str = "", note: str = "broken") -> order_pb2.Order:
        request = order_pb2.RefundOrderRequest(order_id=order.id, note=note)
        metadata = bearer(token, idempotency_key=key or str(new_id()))
        return (await orders.RefundOrder(request, metadata=metadata)).order

    return ask


def steps(order: order_pb2.Order) -> list[str]:
    return [order_pb2.OrderState.Name(step.state).removeprefix("ORDER_STATE_") for step in order.steps]


async def payment_state(platform: Platform, order: order_pb2.Order) -> str | None:
    query = "SELECT state FROM payments WHERE id = %(id)s"
    found: str | None = await platform.databases["vouchers"].read(fetch_value, query, id=order.id)
    return found


async def becomes(get: Pay, member: Member, order: order_pb2.Order, state: int) -> order_pb2.Order:
    """Returns the order once it has come to a state."""

    async def check() -> order_pb2.Order:
        found = await get(member, order)
        assert found.state == state, found
        return found

    return await eventually(check, seconds=20)


@pytest.mark.covers("V3 OrderService.PlaceOrder")
async def test_money_and_points_buy_a_voucher_together(
    platform: Platform, create: Create, earn: Earn, pay: Pay
) -> None:
    member = await platform.member()
    voucher = await create(price_points=500, price=PRICE, price_rule="PRICE_RULE_TOGETHER")
    await earn(member, 500)
    placed = await pay(member, voucher.id, GOOD, amount=PRICE)
    assert (placed.state, placed.price, placed.price_points) == (COMPLETED, PRICE, 500)
    assert steps(placed) == ["PENDING", "COMPLETED"]
    assert len(placed.wallet_voucher_ids) == 1
    assert await payment_state(platform, placed) == "CAPTURED"
    assert await balance(platform, member) == 0
    await check_invariants(platform)


@pytest.mark.parametrize("card", [UNHEARD, TWICE])
async def test_a_provider_whose_replies_get_lost_or_come_twice_charges_once(
    platform: Platform, create: Create, pay: Pay, get: Pay, card: str
) -> None:
    member, voucher = await platform.member(), await create(price_points=0, price=PRICE)
    placed = await pay(member, voucher.id, card)
    await becomes(get, member, placed, COMPLETED)
    assert await payment_state(platform, placed) == "CAPTURED"


async def test_a_declined_card_undoes_the_order_and_gives_the_points_back(
    platform: Platform, create: Create, earn: Earn, pay: Pay
) -> None:
    member, key = await platform.member(), str(new_id())
    voucher = await create(price_points=500, price=PRICE, price_rule="PRICE_RULE_TOGETHER")
    await earn(member, 500)
    name, code, metadata = await refusal(pay(member, voucher.id, DECLINED, key))
    assert (name, code) == ("PAYMENT_DECLINED", grpc.StatusCode.FAILED_PRECONDITION)
    assert await refusal(pay(member, voucher.id, GOOD, key)) == (name, code, metadata)
    assert await balance(platform, member) == 500
    assert await issued(platform, voucher.id) == 0
    await check_invariants(platform)


@pytest.mark.covers("V3 OrderService.PlaceOrder", "V3 OrderService.GetMyOrder")
@pytest.mark.parametrize("approve", [True, False])
async def test_an_order_waits_for_a_second_look_and_ends_as_that_does(
    platform: Platform, create: Create, pay: Pay, get: Pay, *, approve: bool
) -> None:
    member, voucher = await platform.member(), await create(price_points=0, price=PRICE)
    placed = await pay(member, voucher.id, ASKS)
    assert placed.state == AWAITING
    assert placed.pay_until.ToDatetime(UTC) > datetime.now(UTC)
    assert (await get(member, placed)).redirect_url == placed.redirect_url
    bank = payment_pb2_grpc.SandboxPaymentServiceStub(platform.channels["vouchers"])
    confirm = payment_pb2.ConfirmSandboxPaymentRequest(
        payment_id=placed.id, token=placed.redirect_url.partition("#")[2], approve=approve
    )
    await bank.ConfirmSandboxPayment(confirm)
    ended = await becomes(get, member, placed, COMPLETED if approve else FAILED)
    if approve:
        assert steps(ended) == ["PENDING", "AWAITING_PAYMENT", "PENDING", "COMPLETED"]
        assert not ended.redirect_url
    else:
        assert ended.failure_reason == "PAYMENT_DECLINED"
        assert await issued(platform, voucher.id) == 0


async def test_a_payment_that_was_authorised_unheard_is_found_by_the_sweep(
    platform: Platform, create: Create, pay: Pay, get: Pay
) -> None:
    """As if the process had died right after it had noted what the provider told."""
    member, voucher = await platform.member(), await create(price_points=0, price=PRICE)
    placed = await pay(member, voucher.id, ASKS)
    db = platform.databases["vouchers"]
    for table in ("payments", "sandbox_payments"):
        statement = b"UPDATE %b SET state = 'AUTHORISED' WHERE id = %%(id)s" % table.encode()
        await db.run(execute, statement, id=placed.id)
    await db.run(execute, "UPDATE payments SET check_at = now() WHERE id = %(id)s", id=placed.id)
    await becomes(get, member, placed, COMPLETED)


@pytest.mark.covers("V3 OrderService.PlaceOrder")
async def test_an_order_that_is_not_paid_in_time_is_undone_by_the_sweep(
    platform: Platform, create: Create, pay: Pay, get: Pay
) -> None:
    member, key = await platform.member(), str(new_id())
    voucher = await create(price_points=0, price=PRICE)
    placed = await pay(member, voucher.id, ASKS, key)
    await platform.databases["vouchers"].run(
        execute, "UPDATE orders SET pay_until = now(), deadline_at = now() WHERE id = %(id)s", id=placed.id
    )
    ended = await becomes(get, member, placed, FAILED)
    assert (ended.failure_reason, await payment_state(platform, placed)) == (
        "ORDER_PAYMENT_EXPIRED",
        "VOIDED",
    )
    assert await issued(platform, voucher.id) == 0
    assert await reason(pay(member, voucher.id, ASKS, key)) == "ORDER_PAYMENT_EXPIRED"


async def test_an_order_whose_card_was_lost_goes_on_when_it_comes_again(
    platform: Platform, create: Create, pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the process had died before it asked the provider."""
    member, key = await platform.member(), str(new_id())
    voucher = await create(price_points=0, price=PRICE)

    async def lost(*_: object, **__: object) -> None:
        raise PaymentAwaitedError("")

    with monkeypatch.context() as patch:
        patch.setattr(Payments, "authorise", lost)
        placed = await pay(member, voucher.id, GOOD, key)
    assert (placed.state, placed.redirect_url) == (AWAITING, "")
    assert await reason(pay(member, voucher.id, GOOD, key, quantity=2)) == "IDEMPOTENCY_KEY_REUSED"
    again = await pay(member, voucher.id, GOOD, key)
    assert (again.id, again.state) == (placed.id, COMPLETED)


async def test_another_amount_or_currency_than_is_charged_is_refused(
    platform: Platform, create: Create, pay: Pay, orders: order_pb2_grpc.OrderServiceStub
) -> None:
    member, voucher = await platform.member(), await create(price_points=0, price=PRICE)
    less = money_pb2.Money(currency_code="USD", amount_minor=1_249)
    name, _, metadata = await refusal(pay(member, voucher.id, GOOD, amount=less))
    assert (name, metadata["amount_minor"]) == ("AMOUNT_MISMATCH", "1250")
    euros = money_pb2.Money(currency_code="EUR", amount_minor=1_250)
    assert await reason(pay(member, voucher.id, GOOD, amount=euros)) == "CURRENCY_NOT_SUPPORTED"
    assert await reason(pay(member, voucher.id)) == "CARD_REQUIRED"
    assert await issued(platform, voucher.id) == 0


@pytest.mark.covers("V7 OrderService.CancelMyOrder", "V3 OrderService.ListMyOrders")
async def test_an_order_that_awaits_payment_is_cancelled_once(
    platform: Platform, create: Create, pay: Pay, cancel: Pay, orders: order_pb2_grpc.OrderServiceStub
) -> None:
    member, key = await platform.member(), str(new_id())
    voucher = await create(price_points=0, price=PRICE)
    placed = await pay(member, voucher.id, ASKS, key)
    ended = await cancel(member, placed, "too expensive")
    assert (ended.state, ended.end_note, ended.ended_by) == (CANCELLED, "too expensive", "")
    assert steps(ended) == ["PENDING", "AWAITING_PAYMENT", "UNDOING", "CANCELLED"]
    assert await cancel(member, placed) == ended
    assert await reason(pay(member, voucher.id, ASKS, key)) == "ORDER_CANCELLED"
    assert await payment_state(platform, placed) == "VOIDED"
    listed = await orders.ListMyOrders(
        order_pb2.ListMyOrdersRequest(state=CANCELLED), metadata=bearer(member.token)
    )
    assert list(listed.orders) == [ended]
    listed = await orders.ListMyOrders(
        order_pb2.ListMyOrdersRequest(state=COMPLETED), metadata=bearer(member.token)
    )
    assert not listed.orders
    await check_invariants(platform)


@pytest.mark.covers("V7 OrderService.CancelMyOrder")
async def test_a_completed_order_is_cancelled_in_its_days_and_everything_goes_back(
    platform: Platform, create: Create, earn: Earn, pay: Pay, cancel: Pay
) -> None:
    member = await platform.member()
    voucher = await create(
        price_points=500, price=PRICE, price_rule="PRICE_RULE_TOGETHER", cancel_days=14, quantity=2
    )
    await earn(member, 1_000)
    placed = await pay(member, voucher.id, GOOD, quantity=2)
    assert placed.cancellable_until.ToDatetime(UTC) > datetime.now(UTC)
    ended, other = await asyncio.gather(cancel(member, placed), cancel(member, placed))
    assert ended.state == other.state == REFUNDED
    assert steps(ended) == ["PENDING", "COMPLETED", "REFUNDING", "REFUNDED"]
    assert await balance(platform, member) == 1_000
    assert await issued(platform, voucher.id) == 0
    assert await payment_state(platform, placed) == "REFUNDED"
    await check_invariants(platform)


@pytest.mark.covers("V7 OrderService.CancelMyOrder")
async def test_who_may_not_cancel_is_told_why(
    platform: Platform, create: Create, pay: Pay, cancel: Pay
) -> None:
    member, stranger = await platform.member(), await platform.member()
    never = await create(price_points=0, price=PRICE)
    late = await create(price_points=0, price=PRICE, cancel_days=1)
    placed = await pay(member, never.id, GOOD)
    assert not placed.HasField("cancellable_until")
    name, _, metadata = await refusal(cancel(member, placed))
    assert (name, metadata["cause"]) == ("ORDER_NOT_CANCELLABLE", "NEVER")
    assert await reason(cancel(stranger, placed)) == "ORDER_NOT_FOUND"
    placed = await pay(member, late.id, GOOD)
    past = "UPDATE orders SET cancellable_until = now() WHERE id = %(id)s"
    await platform.databases["vouchers"].run(execute, past, id=placed.id)
    assert (await refusal(cancel(member, placed)))[2]["cause"] == "TOO_LATE"
    with pytest.raises(grpc.aio.AioRpcError):
        await pay(member, late.id, DECLINED, "declined")
    query = "SELECT id::text FROM orders WHERE idempotency_key = 'declined' AND member_id = %(id)s"
    failed = await platform.databases["vouchers"].read(fetch_value, query, id=member.id)
    assert (await refusal(cancel(member, order_pb2.Order(id=failed))))[2]["cause"] == "FAILED"


async def redeemed(platform: Platform, member: Member, order: order_pb2.Order) -> tuple[str, str]:
    """Has a till redeem the order's first voucher; returns the redemption and the till's token."""
    wallet = wallet_pb2_grpc.WalletServiceStub(platform.channels["vouchers"])
    request = wallet_pb2.GetMyVoucherRequest(wallet_voucher_id=order.wallet_voucher_id)
    owned = (await wallet.GetMyVoucher(request, metadata=bearer(member.token))).voucher
    codes, till = code_pb2_grpc.CodeServiceStub(platform.channels["promos"]), await platform.till()
    redeem = code_pb2.RedeemCodeRequest(code=owned.code, sale_reference=str(new_id()))
    return (await codes.RedeemCode(redeem, metadata=bearer(till))).redemption.id, till


@pytest.mark.covers("V7 OrderService.RefundOrder", "V7 OrderService.CancelMyOrder")
async def test_an_order_of_which_a_code_was_used_stays_until_the_use_is_taken_back(
    platform: Platform, create: Create, pay: Pay, get: Pay, *, cancel: Pay, refund: Pay
) -> None:
    member, admin = await platform.member(), await platform.admin()
    voucher = await create(price_points=0, price=PRICE, cancel_days=1)
    placed = await pay(member, voucher.id, GOOD, quantity=2)
    redemption, till = await redeemed(platform, member, placed)
    assert await reason(cancel(member, placed)) == "ORDER_CODES_USED"
    assert await reason(refund(admin, placed)) == "ORDER_CODES_USED"
    assert await get(member, placed) == placed
    assert await payment_state(platform, placed) == "CAPTURED"
    codes = code_pb2_grpc.CodeServiceStub(platform.channels["promos"])
    taken_back = code_pb2.CancelRedemptionRequest(redemption_id=redemption)
    await codes.CancelRedemption(taken_back, metadata=bearer(till))
    assert (await refund(admin, placed)).state == REFUNDED
    await check_invariants(platform)


@pytest.mark.covers("V7 OrderService.RefundOrder", "V3 OrderService.GetOrder")
async def test_staff_refund_any_order_once_and_are_audited(
    platform: Platform, create: Create, pay: Pay, refund: Pay, orders: order_pb2_grpc.OrderServiceStub
) -> None:
    member, key = await platform.member(), str(new_id())
    admin, manager = await platform.admin(), await platform.token("manager")
    voucher = await create(price_points=0, price=PRICE)
    placed, waiting = await pay(member, voucher.id, GOOD), await pay(member, voucher.id, ASKS)
    ended = await refund(admin, placed, key)
    assert (ended.state, ended.end_note) == (REFUNDED, "broken")
    assert await refund(admin, placed, key) == ended
    assert await reason(refund(admin, placed, key, "other")) == "IDEMPOTENCY_KEY_REUSED"
    name, _, metadata = await refusal(refund(manager, placed))
    assert (name, metadata["state"]) == ("ORDER_NOT_REFUNDABLE", "REFUNDED")
    assert await reason(refund(admin, order_pb2.Order(id=str(new_id())))) == "ORDER_NOT_FOUND"
    assert (await refund(manager, waiting)).state == CANCELLED
    for role in ("cashier", "till", "member"):
        assert await reason(refund(await platform.token(role), placed)) == "ROLE_NOT_ALLOWED"
    read = await orders.GetOrder(order_pb2.GetOrderRequest(order_id=placed.id), metadata=bearer(admin))
    assert read.order == ended
    assert ended.ended_by
    audit = audit_pb2_grpc.AuditServiceStub(platform.channels["identity"])

    async def listed() -> None:
        wanted = audit_pb2.ListAuditEntriesRequest(target_id=placed.id)
        entries = (await audit.ListAuditEntries(wanted, metadata=bearer(admin))).entries
        assert [(one.action, one.actor_id) for one in entries] == [("order.refund_begun", ended.ended_by)]

    await eventually(listed)
    await check_invariants(platform)
