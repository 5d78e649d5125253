"""All reads of vouchers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from services.common.errors import DomainError
from services.common.legacy_db import Connection
from services.common.paging import Page

ON_SALE = "sale_starts_at <= now() AND (sale_ends_at IS NULL OR now() < sale_ends_at)"
_VOUCHER = (
    "SELECT id, title, description, face_value_minor, currency_code, price_points, quantity,"
    " quantity - issued AS quantity_left, sale_starts_at, sale_ends_at, codes_expire_at, created_at"
    " FROM vouchers"
)
_ORDER = (
    "SELECT o.id, o.member_id, o.voucher_id, o.price_points, o.state, w.id AS wallet_voucher_id,"
    " o.failure_reason, o.failure_metadata, o.placed_at"
    " FROM orders o LEFT JOIN wallet_vouchers w ON w.order_id = o.id"
)
_WALLET = (
    "SELECT w.id, w.voucher_id, w.order_id, v.title, v.face_value_minor, v.currency_code, w.code_id,"
    " w.acquired_at, v.codes_expire_at FROM wallet_vouchers w JOIN vouchers v ON v.id = w.voucher_id"
)


@dataclass(frozen=True)
class VoucherRow:
    """A voucher with what is left of it."""

    id: UUID
    title: str
    description: str
    face_value_minor: int
    currency_code: str
    price_points: int
    quantity: int
    quantity_left: int
    sale_starts_at: datetime
    sale_ends_at: datetime | None
    codes_expire_at: datetime | None
    created_at: datetime


@dataclass(frozen=True)
class OrderRow:
    """An order in its present state."""

    id: UUID
    member_id: UUID
    voucher_id: UUID
    price_points: int
    state: str
    wallet_voucher_id: UUID | None
    failure_reason: str | None
    failure_metadata: dict[str, Any] | None
    placed_at: datetime

    @property
    def open(self) -> bool:
        """Whether the order is still under way."""
        return self.state in ("PENDING", "UNDOING")


@dataclass(frozen=True)
class WalletRow:
    """A voucher that a member owns; its code is promos' to tell."""

    id: UUID
    voucher_id: UUID
    order_id: UUID
    title: str
    face_value_minor: int
    currency_code: str
    code_id: UUID
    acquired_at: datetime
    expires_at: datetime | None


def voucher_not_found(voucher_id: UUID) -> DomainError:
    """There is no such voucher, or none that the caller may see."""
    return DomainError("VOUCHER_NOT_FOUND", "no such voucher", voucher_id=voucher_id)


async def get_voucher(connection: Connection, voucher_id: UUID) -> VoucherRow:
    """A voucher. Raises VOUCHER_NOT_FOUND."""
    result = await connection.execute(text(_VOUCHER + " WHERE id = :id"), {"id": voucher_id})
    row = result.first()
    if row is None:
        raise voucher_not_found(voucher_id)
    return VoucherRow(*row)


async def list_vouchers(connection: Connection, page: Page) -> tuple[Sequence[VoucherRow], str]:
    """A page of all vouchers, the newest first."""
    return await _page_of_vouchers(connection, page, "TRUE")


async def list_offers(connection: Connection, page: Page) -> tuple[Sequence[VoucherRow], str]:
    """A page of what is on sale now, the newest first."""
    return await _page_of_vouchers(connection, page, ON_SALE)


async def get_offer(connection: Connection, voucher_id: UUID) -> VoucherRow:
    """A voucher that is on sale now. Raises VOUCHER_NOT_FOUND."""
    result = await connection.execute(text(f"{_VOUCHER} WHERE id = :id AND {ON_SALE}"), {"id": voucher_id})
    row = result.first()
    if row is None:
        raise voucher_not_found(voucher_id)
    return VoucherRow(*row)


async def get_order(connection: Connection, order_id: UUID) -> OrderRow:
    """An order, whoever's it is. Raises ORDER_NOT_FOUND."""
    return await _one_order(connection, order_id, "o.id = :id", {"id": order_id})


async def get_member_order(connection: Connection, order_id: UUID, member_id: UUID) -> OrderRow:
    """An order of this member. Raises ORDER_NOT_FOUND."""
    values = {"id": order_id, "member_id": member_id}
    return await _one_order(connection, order_id, "o.id = :id AND o.member_id = :member_id", values)


async def find_order(connection: Connection, member_id: UUID, key: str) -> OrderRow | None:
    """The member's order that was placed with this idempotency key."""
    result = await connection.execute(
        text(_ORDER + " WHERE o.member_id = :member_id AND o.idempotency_key = :key"),
        {"member_id": member_id, "key": key},
    )
    row = result.first()
    return OrderRow(*row) if row else None


async def list_orders(connection: Connection, page: Page, member_id: UUID) -> tuple[Sequence[OrderRow], str]:
    """A page of a member's orders, the newest first."""
    result = await connection.execute(
        text(
            _ORDER + " WHERE o.member_id = :member_id AND (CAST(:after AS uuid) IS NULL OR o.id < :after)"
            " ORDER BY o.id DESC LIMIT :limit"
        ),
        {"member_id": member_id, "after": page.after(UUID), "limit": page.size + 1},
    )
    return page.cut([OrderRow(*row) for row in result], lambda order: order.id)


async def get_wallet_voucher(connection: Connection, wallet_id: UUID, member_id: UUID) -> WalletRow:
    """A voucher that this member owns. Raises WALLET_VOUCHER_NOT_FOUND."""
    result = await connection.execute(
        text(_WALLET + " WHERE w.id = :id AND w.member_id = :member_id"),
        {"id": wallet_id, "member_id": member_id},
    )
    row = result.first()
    if row is None:
        raise DomainError("WALLET_VOUCHER_NOT_FOUND", "no such voucher in your wallet", id=wallet_id)
    return WalletRow(*row)


async def list_wallet(connection: Connection, page: Page, member_id: UUID) -> tuple[Sequence[WalletRow], str]:
    """A page of what a member owns, the newest first."""
    result = await connection.execute(
        text(
            _WALLET + " WHERE w.member_id = :member_id AND (CAST(:after AS uuid) IS NULL OR w.id < :after)"
            " ORDER BY w.id DESC LIMIT :limit"
        ),
        {"member_id": member_id, "after": page.after(UUID), "limit": page.size + 1},
    )
    return page.cut([WalletRow(*row) for row in result], lambda owned: owned.id)


async def _page_of_vouchers(
    connection: Connection, page: Page, condition: str
) -> tuple[Sequence[VoucherRow], str]:
    result = await connection.execute(
        text(
            f"{_VOUCHER} WHERE {condition} AND (CAST(:after AS uuid) IS NULL OR id < :after)"
            " ORDER BY id DESC LIMIT :limit"
        ),
        {"after": page.after(UUID), "limit": page.size + 1},
    )
    return page.cut([VoucherRow(*row) for row in result], lambda voucher: voucher.id)


async def _one_order(
    connection: Connection, order_id: UUID, condition: str, values: dict[str, UUID]
) -> OrderRow:
    result = await connection.execute(text(f"{_ORDER} WHERE {condition}"), values)
    row = result.first()
    if row is None:
        raise DomainError("ORDER_NOT_FOUND", "no such order", order_id=order_id)
    return OrderRow(*row)
