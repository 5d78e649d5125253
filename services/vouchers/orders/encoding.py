"""Orders as protobuf has them."""

from __future__ import annotations

from scrip.vouchers.v1 import order_pb2

from services.common.encoding import timestamp
from services.vouchers.orders.queries import OrderRow

_STATE = "ORDER_STATE_"


def encode_order(row: OrderRow) -> order_pb2.Order:
    """Returns an order as messages have it."""
    return order_pb2.Order(
        id=str(row.id),
        voucher_id=str(row.voucher_id),
        state=order_pb2.OrderState.Value(f"{_STATE}{row.state}"),
        price_points=row.price_points,
        wallet_voucher_id=str(row.wallet_voucher_ids[0]) if row.wallet_voucher_ids else "",
        failure_reason=row.failure_reason or "",
        placed_at=timestamp(row.placed_at),
        member_id=str(row.member_id),
        quantity=row.quantity,
        wallet_voucher_ids=map(str, row.wallet_voucher_ids),
        steps=[
            order_pb2.OrderStep(
                state=order_pb2.OrderState.Value(f"{_STATE}{state}"), occurred_at=timestamp(occurred_at)
            )
            for state, occurred_at in zip(row.steps, row.step_times, strict=True)
        ],
    )


def read_state(state: order_pb2.OrderState.ValueType) -> str | None:
    """Returns a state as the database has it; None for the one that is no state."""
    return order_pb2.OrderState.Name(state).removeprefix(_STATE) if state else None
