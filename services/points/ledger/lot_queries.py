"""Reads of what expires."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from services.common.legacy_db import Connection
from services.common.paging import Page


@dataclass(frozen=True)
class ExpiryRow:
    """Points that expire at one moment."""

    expires_at: datetime
    points: int


async def list_expiries(
    connection: Connection, page: Page, *, member_id: UUID
) -> tuple[Sequence[ExpiryRow], str]:
    """A page of a member's points that expire, by the moment at which they do, the soonest first."""
    result = await connection.execute(
        text(
            "SELECT expires_at, CAST(sum(remaining) AS bigint) FROM lots"
            " WHERE member_id = :member_id AND remaining > 0"
            " AND expires_at > coalesce(CAST(:after AS timestamptz), '-infinity')"
            " GROUP BY expires_at ORDER BY expires_at LIMIT :limit"
        ),
        {"member_id": member_id, "after": page.after(_moment), "limit": page.size + 1},
    )
    return page.cut([ExpiryRow(*row) for row in result], lambda expiry: expiry.expires_at.isoformat())


def _moment(position: str) -> datetime:
    """The moment in a page token. Raises ValueError unless it is one."""
    moment = datetime.fromisoformat(position)
    if moment.tzinfo is None:
        raise ValueError(position)
    return moment
