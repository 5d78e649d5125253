"""Reads of wallets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg.sql import SQL

from services.common.db import Connection, fetch_first
from services.common.lists import Listing, SortKey, parse_moment
from services.vouchers.catalogue import VOUCHERS
from services.vouchers.wallet.refusals import wallet_voucher_not_found

WALLET_VOUCHERS = SQL("ARRAY(SELECT w.id FROM wallet_vouchers w WHERE w.order_id = o.id ORDER BY w.number)")
"""The wallet vouchers that an order `o` brought, for statements that show them."""


WalletState = Literal["USABLE", "USED", "EXPIRED", "VOID", "ON_OFFER"]


@dataclass(frozen=True, slots=True)
class WalletRow:
    """A voucher that a member owns. What its code is, promos knows.

    `gift_id` is the gift that it is on offer as, or that brought it; then the order is another member's.
    """

    id: UUID
    voucher_id: UUID
    order_id: UUID | None
    title: str
    face_value_minor: int | None
    currency_code: str
    benefit: Mapping[str, Any] | None
    code_id: UUID
    acquired_at: datetime
    on_offer: bool
    gift_id: UUID | None
    image_id: str | None


# promos tells when a code is used or withdrawn, and its expiry with its text. Of a code that was never shown
# it follows from the voucher.
_EXPIRES_AT = SQL(
    """
    CASE
      WHEN k.code_id IS NOT NULL THEN k.expires_at
      WHEN v.valid_days > 0 THEN least(v.codes_expire_at, w.acquired_at + interval '1 day' * v.valid_days)
      ELSE v.codes_expire_at
    END
    """
)
_STATE = SQL(
    """
    CASE
      WHEN w.gift_id IS NOT NULL THEN 'ON_OFFER'
      WHEN k.state <> 'USABLE' THEN k.state
      WHEN {expires_at} <= now() THEN 'EXPIRED'
      ELSE 'USABLE'
    END
    """
).format(expires_at=_EXPIRES_AT)
_COLUMNS = SQL(
    """
    w.id, w.voucher_id, CASE WHEN w.received_gift_id IS NULL THEN w.order_id END AS order_id, v.title,
    v.face_value_minor, v.currency_code, v.benefit, w.code_id, w.acquired_at,
    w.gift_id IS NOT NULL AS on_offer, coalesce(w.gift_id, w.received_gift_id) AS gift_id,
    v.image_id
    """
)
_SOURCE = SQL(
    """
    wallet_vouchers w JOIN {vouchers} v ON v.id = w.voucher_id
    LEFT JOIN wallet_codes k ON k.code_id = w.code_id
    """
).format(vouchers=VOUCHERS)

WALLET = Listing(
    row=WalletRow,
    columns=_COLUMNS,
    source=_SOURCE,
    filters={
        "member_id": "w.member_id = %(member_id)s",
        "voucher_id": "w.voucher_id = %(voucher_id)s",
        "state": SQL("{} = %(state)s").format(_STATE),
    },
    keys={"acquired_at": SortKey("w.acquired_at", "acquired_at", parse_moment)},
    key=SortKey("w.id", "id", UUID),
    default_order="acquired_at desc",
)
"""What one member owns, who must be named: a filter reads that member's vouchers, and no others."""

_OWNED = SQL("SELECT {columns} FROM {source} WHERE w.id = %(id)s AND w.member_id = %(member_id)s").format(
    columns=_COLUMNS, source=_SOURCE
)


async def get_wallet_voucher(connection: Connection, wallet_id: UUID, member_id: UUID) -> WalletRow:
    """Returns a voucher that this member owns. Raises WALLET_VOUCHER_NOT_FOUND."""
    found = await fetch_first(connection, WalletRow, _OWNED, id=wallet_id, member_id=member_id)
    if found is None:
        raise wallet_voucher_not_found(wallet_id)
    return found
