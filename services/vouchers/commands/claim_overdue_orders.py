"""Taking over orders that nobody finished in time."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text

from services.common.legacy_db import Connection

MOST = 100


async def claim_overdue_orders(connection: Connection, *, lease_seconds: int) -> Sequence[UUID]:
    """Up to 100 orders whose time is over, each now with a new one, so that no two sweeps take the same."""
    claimed = await connection.execute(
        text(
            "UPDATE orders SET deadline_at = now() + make_interval(secs => :lease_seconds) WHERE id IN ("
            " SELECT id FROM orders WHERE state IN ('PENDING', 'UNDOING') AND deadline_at < now()"
            " ORDER BY deadline_at LIMIT :most FOR UPDATE SKIP LOCKED) RETURNING id"
        ),
        {"lease_seconds": lease_seconds, "most": MOST},
    )
    return [row.id for row in claimed]
