"""Reads of baskets that were redeemed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.sql import SQL

from services.common.db import Connection, fetch_first, fetch_values
from services.promos.baskets.sales import Sale
from services.promos.codes import CANCELLED_REDEMPTIONS, redemption_cancelled, redemption_conflict


@dataclass(frozen=True, slots=True)
class RedeemedBasket:
    """The reply to a basket, without its time, and that time."""

    reply: bytes
    redeemed_at: datetime


@dataclass(frozen=True, slots=True)
class _Kept(RedeemedBasket):
    fingerprint: bytes
    redemption_id: UUID
    cancelled_id: UUID | None


_KEPT = SQL(
    """
    SELECT b.fingerprint, b.reply, b.redeemed_at, b.redemption_ids[1] AS redemption_id,
      (SELECT c.id FROM {cancelled} c WHERE c.id = ANY(b.redemption_ids) ORDER BY c.id LIMIT 1)
        AS cancelled_id
    FROM redeemed_baskets b
    WHERE b.caller_id = %(caller_id)s AND b.till_number = %(till_number)s
      AND b.sale_reference = %(sale_reference)s
    """
).format(cancelled=CANCELLED_REDEMPTIONS)


async def find_redeemed_basket(
    connection: Connection, sale: Sale, fingerprint: bytes
) -> RedeemedBasket | None:
    """Returns what was redeemed for a sale before, or None.

    Raises REDEMPTION_CONFLICT when it came with other content, and REDEMPTION_CANCELLED when one of its
    redemptions was taken back since.
    """
    kept = await fetch_first(connection, _Kept, _KEPT, **sale._asdict())
    if kept is None:
        return None
    if kept.fingerprint != fingerprint:
        raise redemption_conflict(kept.redemption_id)
    if kept.cancelled_id is not None:
        raise redemption_cancelled(kept.cancelled_id)
    return kept


_USED = SQL(
    """
    SELECT f.member_id FROM first_purchases f
    WHERE f.member_id = ANY(%(member_ids)s)
      AND (SELECT count(*) FROM {cancelled} c WHERE c.id = ANY(f.redemption_ids))
        < cardinality(f.redemption_ids)
    """
).format(cancelled=CANCELLED_REDEMPTIONS)


async def used_first_purchase(connection: Connection, member_ids: Collection[UUID]) -> set[UUID]:
    """Returns those of these members who have used a code of a first purchase, which was not cancelled."""
    return set(await fetch_values(connection, _USED, member_ids=list(member_ids)))
