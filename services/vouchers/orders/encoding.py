"""Orders as protobuf has them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from scrip.common.v1 import money_pb2
from scrip.vouchers.v1 import order_pb2

from services.common.db import Database
from services.common.encoding import timestamp
from services.vouchers.orders.queries import OrderRow
from services.vouchers.payments import PaymentRow, find_payments

_STATE = "ORDER_STATE_"


async def shown(db: Database, rows: Sequence[OrderRow], *, to_staff: bool = False) -> list[order_pb2.Order]:
    """Returns orders as messages have them, with what is known of the payments that are awaited."""
    awaited = [row.id for row in rows if row.state == "AWAITING_PAYMENT"]
    payments = await db.read(find_payments, awaited) if awaited else {}
    return [encode_order(row, payments.get(row.id), to_staff=to_staff) for row in rows]


def encode_order(
    row: OrderRow, payment: PaymentRow | None = None, *, to_staff: bool = False
) -> order_pb2.Order:
    """Returns an order as messages have it; `payment` is that of an order that awaits one."""
    order = order_pb2.Order(
        id=str(row.id),
        voucher_id=str(row.voucher_id),
        state=_state(row.state),
        price_points=row.price_points,
        wallet_voucher_id=str(row.wallet_voucher_ids[0]) if row.wallet_voucher_ids else "",
        failure_reason=row.failure_reason or "",
        placed_at=timestamp(row.placed_at),
        member_id=str(row.member_id),
        quantity=row.quantity,
        payment_method_id=str(row.payment_method_id or ""),
        wallet_voucher_ids=map(str, row.wallet_voucher_ids),
        steps=[
            order_pb2.OrderStep(state=_state(state), occurred_at=timestamp(occurred_at))
            for state, occurred_at in zip(row.steps, row.step_times, strict=True)
        ],
        end_note=row.end_note or "",
        ended_by=(row.ended_by or "") if to_staff else "",
    )
    by_method, by_promo_code = row.method_discount_minor, row.promo_discount_minor
    if row.amount_minor:
        order.price.CopyFrom(_money(row, row.amount_minor))
    if by_method or by_promo_code:
        order.discounts.list_price.CopyFrom(_money(row, row.amount_minor + by_method + by_promo_code))
        order.discounts.by_payment_method.CopyFrom(_money(row, by_method))
        order.discounts.by_promo_code.CopyFrom(_money(row, by_promo_code))
    if row.state == "AWAITING_PAYMENT" and row.pay_until:
        order.pay_until.FromDatetime(row.pay_until)
        order.redirect_url = payment.redirect_url if payment else ""
    if row.state == "PENDING" and row.codes_awaited_at:
        order.awaiting_codes_since.FromDatetime(row.codes_awaited_at)
    if row.recipient_hash or row.recipient_name:
        order.gift.recipient_name = row.recipient_name or ""
        order.gift.message = row.gift_message or ""
    if row.state == "COMPLETED" and row.cancellable_until and row.cancellable_until > datetime.now(UTC):
        order.cancellable_until.FromDatetime(row.cancellable_until)
    return order


def _state(state: str) -> order_pb2.OrderState.ValueType:
    return order_pb2.OrderState.Value(f"{_STATE}{state}")


def _money(row: OrderRow, amount_minor: int) -> money_pb2.Money:
    return money_pb2.Money(currency_code=row.currency_code or "", amount_minor=amount_minor)


def read_state(state: order_pb2.OrderState.ValueType) -> str | None:
    """Returns a state as the database has it; None for the one that is no state."""
    return order_pb2.OrderState.Name(state).removeprefix(_STATE) if state else None
