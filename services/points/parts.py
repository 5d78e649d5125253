"""What the processes of points share: its database, its connections, its refusals by constraint."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.common.cache import Redis
from services.common.channels import Peers
from services.common.db import Database
from services.common.errors import invalid_field
from services.points.balances import BALANCE_KEYS, Balances, LeasedCache
from services.points.programme import PointValue, Programme, balance_limit_reached
from services.points.purchases import member_code_unknown
from services.points.settings import Settings

CONSTRAINTS = {
    "ck_accounts_balance_limit": balance_limit_reached,
    "ck_accounts_closed_empty": member_code_unknown,  # only a purchase during the closing comes so far
    "ck_earn_rules_window": lambda: invalid_field("ends_at", "must lie after starts_at"),
}


def open_database(settings: Settings) -> Database:
    """Returns points' own database."""
    return Database(settings.database_url, pool_size=settings.database_pool_size, constraints=CONSTRAINTS)


def _programme(settings: Settings) -> Programme:
    return Programme(
        settings.currency,
        settings.time_zone,
        settings.expire_months,
        settings.claim_days,
        settings.refund_policy,
        settings.balance_floor,
    )


def point_value(settings: Settings) -> PointValue | None:
    """Returns what points are worth; None when the retailer gives them no value."""
    if not settings.point_value_minor:
        return None
    return PointValue(settings.point_value_points, settings.point_value_minor, settings.currency)


@dataclass(frozen=True)
class Parts:
    """What server and worker share."""

    db: Database
    redis: Redis
    peers: Peers
    balances: Balances
    programme: Programme


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Parts]:
    """Opens what server and worker share, and closes it in the end."""
    db = open_database(settings)
    redis = Redis(settings.redis_url, settings.redis_seconds)
    peers = Peers("points", settings)
    balances = Balances(db, LeasedCache(redis, BALANCE_KEYS))
    try:
        yield Parts(db, redis, peers, balances, _programme(settings))
    finally:
        await peers.close()
        await redis.close()
        await db.close()
