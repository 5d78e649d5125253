"""The chore that lets points expire."""

from __future__ import annotations

import logging

from services.common.db import Database
from services.points.ledger.account import OnMoved
from services.points.ledger.commands.expire_lots import expire_lots

EXPIRY_SECONDS = 60

log = logging.getLogger(__name__)


async def expire_due(db: Database, on_moved: OnMoved) -> int:
    """Takes all points whose time is over, batch after batch, each in a transaction of its own.

    Returns how many points. May be killed at any moment, and run by several at once.
    """
    points = members = 0
    batch = await db.run(expire_lots)
    while True:
        await on_moved(batch.members)
        points, members = points + batch.points, members + len(batch.members)
        if not batch.more:
            break
        batch = await db.run(expire_lots, batch.last)
    if points:
        log.info("points expired", extra={"data": {"points": points, "members": members}})
    return points
