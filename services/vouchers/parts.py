"""What the processes of vouchers share: its database, its connections, its refusals by constraint."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from services.common.cache import Redis
from services.common.channels import Peers
from services.common.db import Database
from services.vouchers.orders.clients import OrderCodes, OrderPoints
from services.vouchers.orders.ending import Completing, Failing
from services.vouchers.orders.placing import Placing
from services.vouchers.orders.saga import OrderSaga
from services.vouchers.payments import Gateway, Payments, SandboxProvider, open_payments
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
    payments: Payments
    sandbox: SandboxProvider | None


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Parts]:
    """Opens what server and worker share, and closes it in the end."""
    db = open_database(settings)
    redis = Redis(settings.redis_url, settings.redis_seconds)
    peers = Peers("vouchers", settings)
    lease = settings.order_lease_seconds
    placing = Placing(db, lease_seconds=lease)
    saga = OrderSaga(
        db,
        OrderPoints(peers.points, peers.token),
        OrderCodes(peers.promos, peers.token),
        Completing(db),
        Failing(db),
        lease_seconds=lease,
    )
    sandbox = SandboxProvider(db) if settings.sandbox else None

    async def on_change(order_id: UUID) -> None:
        """Does nothing yet about an order whose payment has changed."""

    try:
        async with open_payments(
            db, sandbox=sandbox, gateway=_gateway(settings), on_change=on_change
        ) as payments:
            yield Parts(db, redis, peers, placing, saga, payments, sandbox)
    finally:
        await peers.close()
        await redis.close()
        await db.close()


def _gateway(settings: Settings) -> Gateway | None:
    if not settings.payment_provider_name:
        return None
    return Gateway(
        settings.payment_provider_name,
        settings.payment_provider_url,
        settings.payment_provider_secret.get_secret_value(),
        settings.payment_provider_takes_card,
    )
