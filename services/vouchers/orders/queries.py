"""Reads of orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg.sql import SQL

from services.common.db import Connection, fetch_all, fetch_first
from services.common.lists import Listing, SortKey, parse_moment
from services.common.paging import Page
from services.vouchers.orders.refusals import order_not_found
from services.vouchers.wallet import WALLET_VOUCHERS

OrderState = Literal[
    "PENDING",
    "COMPLETED",
    "UNDOING",
    "FAILED",
    "AWAITING_PAYMENT",
    "CANCELLED",
    "REFUNDING",
    "REFUNDED",
]
OPEN_STATES: tuple[OrderState, ...] = ("PENDING", "UNDOING", "AWAITING_PAYMENT", "REFUNDING")
"""Those that somebody works on, or waits in."""

COLUMNS = SQL(
    """
    o.id, o.member_id, o.voucher_id, o.price_points, o.state, o.failure_reason, o.failure_metadata,
    o.placed_at, o.quantity, o.currency_code, o.amount_minor, o.method_discount_minor,
    o.promo_discount_minor, o.payment_method_id, o.promo_code_id, o.pay_until, o.recipient_hash,
    o.recipient_name, o.gift_message, o.steps, o.step_times, o.end_note, o.ended_by,
    o.cancellable_until, o.request_hash, o.codes_awaited_at
    """
)
"""The columns of an order `o` that OrderRow is made of. One that is completed has wallet vouchers beside."""


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order as a statement saw it."""

    id: UUID
    member_id: UUID
    voucher_id: UUID
    price_points: int
    state: OrderState
    failure_reason: str | None
    failure_metadata: dict[str, Any] | None
    placed_at: datetime
    quantity: int = 1
    currency_code: str | None = None
    amount_minor: int = 0
    method_discount_minor: int = 0
    promo_discount_minor: int = 0
    payment_method_id: UUID | None = None
    promo_code_id: UUID | None = None
    pay_until: datetime | None = None
    recipient_hash: bytes | None = None
    recipient_name: str | None = None
    gift_message: str | None = None
    steps: Sequence[OrderState] = ()
    step_times: Sequence[datetime] = ()
    end_note: str | None = None
    ended_by: str | None = None
    cancellable_until: datetime | None = None
    request_hash: bytes | None = None
    codes_awaited_at: datetime | None = None
    wallet_voucher_ids: Sequence[UUID] = ()

    @property
    def open(self) -> bool:
        """Whether the order is still under way."""
        return self.state in OPEN_STATES


_ORDER = SQL(
    """
    SELECT {columns}, {wallet} AS wallet_voucher_ids FROM orders o
    WHERE o.id = %(id)s
    """
).format(columns=COLUMNS, wallet=WALLET_VOUCHERS)


async def get_order(connection: Connection, order_id: UUID) -> OrderRow:
    """Returns an order, whatever member's it is. Raises ORDER_NOT_FOUND."""
    found = await fetch_first(connection, OrderRow, _ORDER, id=order_id)
    if found is None:
        raise order_not_found(order_id)
    return found


_ORDERS = SQL(
    """
    SELECT {columns}, {wallet} AS wallet_voucher_ids FROM orders o
    WHERE o.id = ANY(%(ids)s)
    """
).format(columns=COLUMNS, wallet=WALLET_VOUCHERS)


async def get_orders(connection: Connection, order_ids: Sequence[UUID]) -> Sequence[OrderRow]:
    """Returns these orders, in no particular order."""
    return await fetch_all(connection, OrderRow, _ORDERS, ids=list(order_ids))


_MEMBER_ORDER = SQL(
    """
    SELECT {columns}, {wallet} AS wallet_voucher_ids FROM orders o
    WHERE o.id = %(id)s AND o.member_id = %(member_id)s
    """
).format(columns=COLUMNS, wallet=WALLET_VOUCHERS)


async def get_member_order(connection: Connection, order_id: UUID, member_id: UUID) -> OrderRow:
    """Returns an order of this member. Raises ORDER_NOT_FOUND."""
    found = await fetch_first(connection, OrderRow, _MEMBER_ORDER, id=order_id, member_id=member_id)
    if found is None:
        raise order_not_found(order_id)
    return found


_ORDER_OF_KEY = SQL(
    """
    SELECT {columns}, {wallet} AS wallet_voucher_ids FROM orders o
    WHERE o.member_id = %(member_id)s AND o.idempotency_key = %(key)s
    """
).format(columns=COLUMNS, wallet=WALLET_VOUCHERS)


async def find_order(connection: Connection, member_id: UUID, key: str) -> OrderRow | None:
    """Returns the member's order that was placed with this idempotency key, or None."""
    return await fetch_first(connection, OrderRow, _ORDER_OF_KEY, member_id=member_id, key=key)


_MEMBER_ORDERS = SQL(
    """
    SELECT {columns}, {wallet} AS wallet_voucher_ids FROM orders o
    WHERE o.member_id = %(member_id)s AND (%(after)s::uuid IS NULL OR o.id < %(after)s)
      AND (%(state)s::text IS NULL OR o.state = %(state)s)
    ORDER BY o.id DESC LIMIT %(limit)s
    """
).format(columns=COLUMNS, wallet=WALLET_VOUCHERS)


async def list_member_orders(
    connection: Connection, page: Page, member_id: UUID, *, state: str | None
) -> tuple[Sequence[OrderRow], str]:
    """Returns a page of a member's orders, the newest first, and the token of the next one.

    Only those in `state`, if one is given.
    """
    rows = await fetch_all(
        connection,
        OrderRow,
        _MEMBER_ORDERS,
        member_id=member_id,
        state=state,
        after=page.after(UUID),
        limit=page.size + 1,
    )
    return page.cut(rows, lambda order: order.id)


ORDER_LIST = Listing(
    row=OrderRow,
    columns=SQL("{columns}, {wallet} AS wallet_voucher_ids").format(columns=COLUMNS, wallet=WALLET_VOUCHERS),
    source="orders o",
    filters={
        "member_id": "o.member_id = %(member_id)s",
        "voucher_id": "o.voucher_id = %(voucher_id)s",
        "state": "o.state = %(state)s",
        "placed_from": "o.placed_at >= %(placed_from)s",
        "placed_until": "o.placed_at < %(placed_until)s",
    },
    keys={"placed_at": SortKey("o.placed_at", "placed_at", parse_moment)},
    key=SortKey("o.id", "id", UUID),
    default_order="placed_at desc",
)
"""The orders of all members. Of one member there are few, which are sorted when they are asked for."""
