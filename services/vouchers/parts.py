"""What the processes of vouchers share: its database, its connections, its refusals by constraint."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.common.cache import Flags, Redis
from services.common.channels import Peers
from services.common.db import Database
from services.common.storage import Storage, open_storage
from services.vouchers.orders.clients import OrderCodes, OrderPoints
from services.vouchers.orders.placing import Placing
from services.vouchers.orders.saga import OrderSaga
from services.vouchers.settings import Settings


def open_database(settings: Settings) -> Database:
    """Opens vouchers' own database."""
    return Database(settings.database_url, pool_size=settings.database_pool_size)


@dataclass(frozen=True)
class Parts:
    """What server and worker share."""

    db: Database
    redis: Redis
    peers: Peers
    placing: Placing
    saga: OrderSaga
    storage: Storage


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Parts]:
    """Opens what server and worker share, and closes it in the end."""
    db = open_database(settings)
    redis = Redis(settings.redis_url, settings.redis_seconds)
    peers = Peers("vouchers", settings)
    lease = settings.order_lease_seconds
    placing = Placing(db, Flags(redis, "sold-out:"), lease_seconds=lease)
    saga = OrderSaga(
        db,
        OrderPoints(peers.points, peers.token),
        OrderCodes(peers.promos, peers.token),
        placing,
        lease_seconds=lease,
    )
    try:
        yield Parts(db, redis, peers, placing, saga, open_storage(settings))
    finally:
        await peers.close()
        await redis.close()
        await db.close()
