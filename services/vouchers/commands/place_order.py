"""Placing an order: the order exists exactly when its stock is taken."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from services.common.errors import DomainError
from services.common.idempotency import reused
from services.common.ids import new_id
from services.common.legacy_db import Connection
from services.vouchers.queries import (
    OrderRow,
    find_order,
    get_order,
    voucher_not_found,
)


async def place_order(
    connection: Connection, *, member_id: UUID, voucher_id: UUID, key: str, lease_seconds: int
) -> OrderRow:
    """Places the member's order of one voucher, or answers the one that has this key already.

    Raises VOUCHER_NOT_FOUND, VOUCHER_NOT_ON_SALE, SOLD_OUT or IDEMPOTENCY_KEY_REUSED; nothing is kept then.
    """
    order_id = new_id()
    # Whoever comes second with a key waits here for the first to commit.
    placed = await connection.execute(
        text(
            "INSERT INTO orders"
            " (id, member_id, idempotency_key, voucher_id, price_points, state, deadline_at)"
            " SELECT :id, :member_id, :key, id, price_points, 'PENDING',"
            " now() + make_interval(secs => :lease_seconds) FROM vouchers WHERE id = :voucher_id"
            " ON CONFLICT (member_id, idempotency_key) DO NOTHING RETURNING 1"
        ),
        {
            "id": order_id,
            "member_id": member_id,
            "key": key,
            "voucher_id": voucher_id,
            "lease_seconds": lease_seconds,
        },
    )
    if placed.first() is None:
        return same_order(await find_order(connection, member_id, key), voucher_id, key)
    taken = await connection.execute(
        text(
            "UPDATE vouchers SET issued = issued + 1 WHERE id = :id AND issued < quantity"
            " AND sale_starts_at <= now() AND (sale_ends_at IS NULL OR now() < sale_ends_at) RETURNING 1"
        ),
        {"id": voucher_id},
    )
    if taken.first() is None:
        raise await _why_not(connection, voucher_id)
    return await get_order(connection, order_id)


def same_order(existing: OrderRow | None, voucher_id: UUID, key: str) -> OrderRow:
    """The order that has this key. Raises IDEMPOTENCY_KEY_REUSED when it is of another voucher."""
    if existing is None:
        raise voucher_not_found(voucher_id)
    if existing.voucher_id != voucher_id:
        raise reused(key)
    return existing


def sold_out(voucher_id: UUID) -> DomainError:
    """Nothing is left."""
    return DomainError("SOLD_OUT", "nothing is left of this voucher", voucher_id=voucher_id)


async def _why_not(connection: Connection, voucher_id: UUID) -> DomainError:
    # Whether anything is left is not asked again: stock may have come back since, and it was refused.
    on_sale = await connection.execute(
        text(
            "SELECT sale_starts_at <= now() AND (sale_ends_at IS NULL OR now() < sale_ends_at)"
            " FROM vouchers WHERE id = :id"
        ),
        {"id": voucher_id},
    )
    if on_sale.scalar_one():
        return sold_out(voucher_id)
    return DomainError("VOUCHER_NOT_ON_SALE", "this voucher is not on sale now", voucher_id=voucher_id)
