"""What a member owns and can use now: of the newest 200 vouchers, for so many codes can be asked about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.sql import SQL

from services.common.db import Connection, fetch_all
from services.vouchers.catalogue import VOUCHERS

MOST_COUPONS = 50
"""So many are told."""


@dataclass(frozen=True, slots=True)
class OwnedCoupon:
    """A voucher that has not expired. Whether its code was used, promos knows."""

    title: str
    face_value_minor: int | None
    currency_code: str
    benefit: Mapping[str, Any] | None
    code_id: UUID
    expires_at: datetime | None


_OWNED = SQL(
    """
    SELECT v.title, v.face_value_minor, v.currency_code, v.benefit, w.code_id, v.codes_expire_at AS expires_at
    FROM (
      SELECT id, voucher_id, code_id FROM wallet_vouchers WHERE member_id = %(member_id)s
      ORDER BY id DESC LIMIT %(limit)s
    ) w JOIN {vouchers} v ON v.id = w.voucher_id
    WHERE v.codes_expire_at IS NULL OR now() < v.codes_expire_at
    ORDER BY v.codes_expire_at NULLS LAST, w.id
    """
).format(vouchers=VOUCHERS)


async def owned_coupons(connection: Connection, member_id: UUID, *, limit: int) -> Sequence[OwnedCoupon]:
    """Returns what has not expired of the newest `limit` vouchers of a member, what expires first first."""
    return await fetch_all(connection, OwnedCoupon, _OWNED, member_id=member_id, limit=limit)
