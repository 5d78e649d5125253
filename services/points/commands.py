"""Commands of points for operators."""

from __future__ import annotations

import asyncio

from services.common.cache import Redis
from services.points.balances import BALANCE_KEYS, LeasedCache
from services.points.books import PATIENT_SECONDS, BooksChecker
from services.points.parts import open_database
from services.points.settings import Settings


async def check_books(settings: Settings, stop: asyncio.Event) -> None:
    """Compares all books and prints what does not agree; ends with status 1 when anything does not."""
    db, redis = open_database(settings), Redis(settings.redis_url, PATIENT_SECONDS)
    try:
        checker = BooksChecker(db, LeasedCache(redis, BALANCE_KEYS))
        agree = await checker.run(stop, print)
    finally:
        await redis.close()
        await db.close()
    if not agree:
        raise SystemExit(1)
