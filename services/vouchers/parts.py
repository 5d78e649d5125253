"""What the processes of vouchers share: its database, its connections, its refusals by constraint."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from services.common.cache import Redis
from services.common.channels import Peers
from services.common.db import Database
from services.common.storage import Storage, open_storage
from services.common.throttle import Throttle
from services.vouchers.catalogue import QuantityChanges
from services.vouchers.catalogue.codes_client import CodesMaker
from services.vouchers.gifts.advancing import Gifts
from services.vouchers.gifts.codes_client import GiftCodes
from services.vouchers.gifts.recipients import GiftRecipients
from services.vouchers.orders.clients import OrderCodes, OrderPoints
from services.vouchers.orders.commands import forget_recipient
from services.vouchers.orders.ending import Completing, Failing
from services.vouchers.orders.new_orders import require_available
from services.vouchers.orders.placing import Placing
from services.vouchers.orders.saga import OrderSaga
from services.vouchers.orders.steps import OrderSteps
from services.vouchers.orders.store import DatabaseOrderStore
from services.vouchers.payments import Gateway, Payments, SandboxProvider, open_payments
from services.vouchers.quotes import OrderPricing, OrderPromoCodes
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
    changes: QuantityChanges
    codes: CodesMaker
    placing: Placing
    payments: Payments
    pricing: OrderPricing
    saga: OrderSaga
    sandbox: SandboxProvider | None
    recipients: GiftRecipients
    gifts: Gifts
    storage: Storage


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Parts]:
    """Opens what server and worker share, and closes it in the end."""
    db = open_database(settings)
    redis = Redis(settings.redis_url, settings.redis_seconds)
    peers = Peers("vouchers", settings)
    lease = settings.order_lease_seconds
    changes = QuantityChanges(redis, settings.redis_url)
    placing = Placing(db, changes, lease_seconds=lease, codes_ahead=settings.codes_ahead)
    completing = Completing(db, gifts_last=timedelta(days=settings.gift_days))
    store = DatabaseOrderStore(db, completing, Failing(db, changes), lease_seconds=lease)
    points, codes = OrderPoints(peers.points, peers.token), OrderCodes(peers.promos, peers.token)
    promo_codes = OrderPromoCodes(peers.promos, peers.token)
    codes_maker = CodesMaker(db, peers.promos, peers.token)
    sandbox = SandboxProvider(db) if settings.sandbox else None

    async def on_change(order_id: UUID) -> None:
        """Has an order go on when its payment does."""
        await saga.wake(order_id)

    throttle = Throttle(redis, settings.service_secret.get_secret_value().encode())
    recipients = GiftRecipients(peers.identity, peers.token, throttle, gifts_per_day=settings.gifts_per_day)
    gifts = Gifts(db, GiftCodes(peers.promos, peers.token), recipients, forget_recipient)
    try:
        async with open_payments(
            db, sandbox=sandbox, gateway=_gateway(settings), on_change=on_change
        ) as payments:
            steps = OrderSteps(store, points, codes, promo_codes, payments)
            saga = OrderSaga(steps, store, lease_seconds=lease)
            pricing = OrderPricing(
                db, payments, promo_codes, require_available, quote_seconds=settings.quote_seconds
            )
            storage = open_storage(settings)
            yield Parts(
                db,
                redis,
                peers,
                changes,
                codes_maker,
                placing,
                payments,
                pricing,
                saga,
                sandbox,
                recipients,
                gifts,
                storage,
            )
    finally:
        await peers.close()
        await changes.close()
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
