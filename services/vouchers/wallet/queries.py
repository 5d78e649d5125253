"""Reads of wallets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.sql import SQL

from services.common.db import Connection, fetch_all, fetch_first
from services.common.paging import Page
from services.vouchers.catalogue import VOUCHERS
from services.vouchers.wallet.refusals import wallet_voucher_not_found

WALLET_VOUCHERS = SQL("ARRAY(SELECT w.id FROM wallet_vouchers w WHERE w.order_id = o.id ORDER BY w.number)")
"""The wallet vouchers that an order `o` brought, for statements that show them."""


@dataclass(frozen=True, slots=True)
class WalletRow:
    """A voucher that a member owns. What its code is and whether it can be used, promos knows."""

    id: UUID
    voucher_id: UUID
    order_id: UUID
    title: str
    face_value_minor: int | None
    currency_code: str
    benefit: Mapping[str, Any] | None
    code_id: UUID
    acquired_at: datetime
    expires_at: datetime | None
    image_id: str | None


_OWNED = SQL(
    """
    SELECT
      w.id, w.voucher_id, w.order_id, v.title, v.face_value_minor, v.currency_code, v.benefit, w.code_id,
      w.acquired_at, v.codes_expire_at AS expires_at, v.image_id
    FROM wallet_vouchers w JOIN {vouchers} v ON v.id = w.voucher_id
    WHERE w.id = %(id)s AND w.member_id = %(member_id)s
    """
).format(vouchers=VOUCHERS)


async def get_wallet_voucher(connection: Connection, wallet_id: UUID, member_id: UUID) -> WalletRow:
    """Returns a voucher that this member owns. Raises WALLET_VOUCHER_NOT_FOUND."""
    found = await fetch_first(connection, WalletRow, _OWNED, id=wallet_id, member_id=member_id)
    if found is None:
        raise wallet_voucher_not_found(wallet_id)
    return found


_WALLET = SQL(
    """
    SELECT
      w.id, w.voucher_id, w.order_id, v.title, v.face_value_minor, v.currency_code, v.benefit, w.code_id,
      w.acquired_at, v.codes_expire_at AS expires_at, v.image_id
    FROM wallet_vouchers w JOIN {vouchers} v ON v.id = w.voucher_id
    WHERE w.member_id = %(member_id)s AND (%(after)s::uuid IS NULL OR w.id < %(after)s)
    ORDER BY w.id DESC LIMIT %(limit)s
    """
).format(vouchers=VOUCHERS)


async def list_wallet(connection: Connection, page: Page, member_id: UUID) -> tuple[Sequence[WalletRow], str]:
    """Returns a page of what a member owns, the newest first, and the token of the next one."""
    rows = await fetch_all(
        connection, WalletRow, _WALLET, member_id=member_id, after=page.after(UUID), limit=page.size + 1
    )
    return page.cut(rows, lambda owned: owned.id)
