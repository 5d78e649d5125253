"""Placing orders, many in one statement; each stands or falls alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from psycopg.types.json import Jsonb

from services.common.db import Connection, fetch_all
from services.common.errors import DomainError, invalid_field
from services.common.idempotency import reused
from services.common.ids import new_id
from services.vouchers.catalogue import (
    ask_for_codes,
    get_gift_terms,
    lock_vouchers,
    sold_out,
    voucher_not_found,
    voucher_not_on_sale,
)
from services.vouchers.gifts import gift_not_allowed, recipient_limit_reached
from services.vouchers.orders.queries import OrderRow, get_orders
from services.vouchers.orders.refusals import member_limit_reached
from services.vouchers.orders.statements import JUDGE, PLACE
from services.vouchers.quotes import Wanted, payment_method_required

_MOST_POINTS = 2**31 - 1


@dataclass(frozen=True, slots=True)
class NewOrder:
    """A member wants pieces of a voucher.

    `price_points` is what they cost in points in all; None for what the voucher costs when the order is
    placed, and then points alone must be enough. Discounts are those in the amount already. By `request_hash`
    a repetition is known, if more was asked for than so many pieces of a voucher.
    """

    member_id: UUID
    voucher_id: UUID
    key: str
    quantity: int = 1
    price_points: int | None = None
    amount_minor: int = 0
    currency_code: str | None = None
    method_discount_minor: int = 0
    promo_discount_minor: int = 0
    payment_method_id: UUID | None = None
    promo_code_id: UUID | None = None
    pay_until: datetime | None = None
    recipient_hash: bytes | None = None
    recipient_name: str | None = None
    gift_message: str | None = None
    request_hash: bytes | None = None
    id: UUID = field(default_factory=new_id)


Placed = OrderRow | DomainError
"""The order, placed now or before with the same key; or why there is none."""
_Waiting = Mapping[int, NewOrder]
"""Orders by their place in the list."""


@dataclass(frozen=True, slots=True)
class _PlacedRow(OrderRow):
    """An order that was placed, and whether few codes of its voucher are left."""

    few_codes_left: bool = False


@dataclass(frozen=True, slots=True)
class _Judged:
    place: int
    order_id: UUID | None
    on_sale: bool | None
    payable: bool | None
    points: int | None
    pieces_left: int | None
    max_per_member: int | None
    ordered: int | None
    max_gifts_per_recipient: int | None
    given_before: int | None


async def place_orders(
    connection: Connection, orders: Sequence[NewOrder], *, lease_seconds: int, codes_ahead: int
) -> list[Placed]:
    """Places each order for which there is stock, in order of arrival; what is not placed leaves nothing.

    Codes that run low thereby are asked for.

    Returns for each the order, or IDEMPOTENCY_KEY_REUSED, VOUCHER_NOT_FOUND, VOUCHER_NOT_ON_SALE,
    PAYMENT_METHOD_REQUIRED, VALIDATION_FAILED, SOLD_OUT, MEMBER_LIMIT_REACHED or RECIPIENT_LIMIT_REACHED.
    """
    await lock_vouchers(connection, {order.voucher_id for order in orders})
    outcomes: dict[int, Placed] = {}
    waiting: _Waiting = dict(enumerate(orders))
    while waiting:
        before = len(outcomes)
        outcomes |= await _place(connection, _first_of_each_key(waiting), lease_seconds, codes_ahead)
        rest = {place: order for place, order in waiting.items() if place not in outcomes}
        outcomes |= await judge_orders(connection, rest)
        waiting = {place: order for place, order in rest.items() if place not in outcomes}
        # Nothing stands in the way of the first that waits but what is found when it is judged.
        assert len(outcomes) > before, "each round settles an order"
    return [outcomes[place] for place in range(len(orders))]


def _first_of_each_key(waiting: _Waiting) -> _Waiting:
    """Returns the orders whose key does not stand before them in the list."""
    first: dict[tuple[UUID, str], int] = {}
    for place, order in waiting.items():
        first.setdefault((order.member_id, order.key), place)
    return {place: waiting[place] for place in first.values()}


async def _place(
    connection: Connection, waiting: _Waiting, lease_seconds: int, codes_ahead: int
) -> dict[int, OrderRow]:
    places = {order.id: place for place, order in waiting.items()}
    rows = await fetch_all(
        connection,
        _PlacedRow,
        PLACE,
        orders=_json([_given(place, order) for place, order in waiting.items()]),
        lease_seconds=lease_seconds,
        codes_ahead=codes_ahead,
    )
    if running_low := {row.voucher_id for row in rows if row.few_codes_left}:
        await ask_for_codes(connection, running_low, codes_ahead=codes_ahead)
    return {places[row.id]: row for row in rows}


async def judge_orders(connection: Connection, waiting: _Waiting) -> dict[int, Placed]:
    """Returns what becomes of those orders that would not be placed now. Locks and changes nothing."""
    if not waiting:
        return {}
    rows = await fetch_all(
        connection, _Judged, JUDGE, orders=_json([_given(place, order) for place, order in waiting.items()])
    )
    there = [row.order_id for row in rows if row.order_id]
    found = {order.id: order for order in await get_orders(connection, there)} if there else {}
    outcomes: dict[int, Placed] = {}
    for row in rows:
        order = waiting[row.place]
        outcome = same_order(found[row.order_id], order) if row.order_id else _refusal(row, order)
        if outcome is not None:
            outcomes[row.place] = outcome
    return outcomes


async def require_available(connection: Connection, wanted: Wanted) -> None:
    """Raises what would stand in the way of an order now, whatever is paid for it; see `place_orders`.

    Raises GIFT_NOT_ALLOWED for a gift that may be none.
    """
    order = NewOrder(wanted.member_id, wanted.voucher_id, "", wanted.quantity, price_points=0)
    outcome = (await judge_orders(connection, {0: order})).get(0)
    if isinstance(outcome, DomainError):
        raise outcome
    if wanted.as_gift and not (await get_gift_terms(connection, wanted.voucher_id)).allowed:
        raise gift_not_allowed(wanted.voucher_id)


def same_order(existing: OrderRow, new: NewOrder) -> Placed:
    """Returns the order that has this key; IDEMPOTENCY_KEY_REUSED when it is for something else.

    Prices are not compared: the order keeps those of then.
    """
    was = (existing.voucher_id, existing.quantity, existing.request_hash)
    return existing if was == (new.voucher_id, new.quantity, new.request_hash) else reused(new.key)


def _refusal(row: _Judged, order: NewOrder) -> DomainError | None:
    """Returns what stands in the way of an order, None for nothing."""
    if row.on_sale is None or row.points is None:
        return voucher_not_found(order.voucher_id)
    if not row.on_sale:
        return voucher_not_on_sale(order.voucher_id)
    if not row.payable:
        return payment_method_required(order.voucher_id)
    if row.points > _MOST_POINTS:
        return invalid_field("quantity", "comes to more points than there can be")
    return _too_many(row, order)


def _too_many(row: _Judged, order: NewOrder) -> DomainError | None:
    left, most, most_given = row.pieces_left or 0, row.max_per_member or 0, row.max_gifts_per_recipient or 0
    if order.quantity > left:
        return sold_out(order.voucher_id, left=left)
    if row.ordered is not None and row.ordered + order.quantity > most:
        return member_limit_reached(limit=most, ordered=row.ordered)
    if row.given_before is not None and row.given_before + order.quantity > most_given:
        return recipient_limit_reached(limit=most_given, ordered=row.given_before)
    return None


def _given(place: int, order: NewOrder) -> dict[str, Any]:
    texts = {
        name: f"\\x{value.hex()}" if isinstance(value, bytes) else value
        for name, value in asdict(order).items()
    }
    return {"place": place, **texts}


def _json(rows: Sequence[Mapping[str, Any]]) -> Jsonb:
    return Jsonb(rows, dumps=orjson.dumps)
