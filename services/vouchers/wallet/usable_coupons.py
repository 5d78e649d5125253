"""What a member owns and can use now: of the newest 200 vouchers, for so many codes can be asked about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.sql import SQL

from services.common.db import Connection, fetch_all
from services.vouchers.catalogue import VOUCHERS

MOST_COUPONS = 50
"""So many are told."""


@dataclass(frozen=True, slots=True)
class OwnedCoupon:
    """A voucher that is not on offer as a gift. Whether its code can be used, promos knows."""

    title: str
    face_value_minor: int | None
    currency_code: str
    benefit: Mapping[str, Any] | None
    code_id: UUID


_OWNED = SQL(
    """
    SELECT v.title, v.face_value_minor, v.currency_code, v.benefit, w.code_id
    FROM (
      SELECT id, voucher_id, code_id FROM wallet_vouchers WHERE member_id = %(member_id)s AND gift_id IS NULL
      ORDER BY acquired_at DESC, id DESC LIMIT %(limit)s
    ) w JOIN {vouchers} v ON v.id = w.voucher_id
    ORDER BY w.id
    """
).format(vouchers=VOUCHERS)


async def owned_coupons(connection: Connection, member_id: UUID, *, limit: int) -> Sequence[OwnedCoupon]:
    """Returns the newest `limit` vouchers of a member that are not on offer, in the order of their ids."""
    return await fetch_all(connection, OwnedCoupon, _OWNED, member_id=member_id, limit=limit)
