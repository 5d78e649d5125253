"""What the processes of vouchers share: its database, its connections, its refusals by constraint."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from scrip.vouchers.v1 import order_pb2

from services.common.cache import Redis
from services.common.channels import Peers
from services.common.db import Database
from services.common.throttle import Throttle
from services.vouchers.gifts.advancing import Gifts
from services.vouchers.gifts.codes_client import GiftCodes
from services.vouchers.gifts.recipients import GiftRecipients
from services.vouchers.orders.clients import OrderCodes, OrderPoints
from services.vouchers.orders.commands import forget_recipient
from services.vouchers.orders.ending import Completing, Failing
from services.vouchers.orders.placing import Placing
from services.vouchers.orders.queries import OrderRow
from services.vouchers.orders.requests import PricedOrder, Pricing
from services.vouchers.orders.saga import OrderSaga
from services.vouchers.orders.steps import OrderSteps
from services.vouchers.orders.store import DatabaseOrderStore
from services.vouchers.payments import (
    Gateway,
    Payments,
    SandboxProvider,
    open_payments,
    payment_method_not_found,
)
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
    payments: Payments
    pricing: Pricing
    saga: OrderSaga
    sandbox: SandboxProvider | None
    recipients: GiftRecipients
    gifts: Gifts


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Parts]:
    """Opens what server and worker share, and closes it in the end."""
    db = open_database(settings)
    redis = Redis(settings.redis_url, settings.redis_seconds)
    peers = Peers("vouchers", settings)
    lease = settings.order_lease_seconds
    placing = Placing(db, lease_seconds=lease)
    completing = Completing(db, gifts_last=timedelta(days=settings.gift_days))
    store = DatabaseOrderStore(db, completing, Failing(db), lease_seconds=lease)
    points, codes = OrderPoints(peers.points, peers.token), OrderCodes(peers.promos, peers.token)
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
            steps = OrderSteps(store, points, codes, NoPromoCodes(), payments)
            saga = OrderSaga(steps, store, lease_seconds=lease)
            yield Parts(db, redis, peers, placing, payments, NoPricing(), saga, sandbox, recipients, gifts)
    finally:
        await peers.close()
        await redis.close()
        await db.close()


class NoPricing:
    """Stands for prices while orders cost points alone."""

    async def priced(self, request: order_pb2.PlaceOrderRequest, *_: object) -> PricedOrder:
        """Refuses."""
        raise payment_method_not_found(UUID(request.payment_method_id))


class NoPromoCodes:
    """Stands for promo codes while no order has one."""

    async def redeem(self, order: OrderRow) -> None:
        """Is never asked."""
        raise AssertionError(order)

    async def give_back(self, order: OrderRow) -> None:
        """Is never asked."""
        raise AssertionError(order)


def _gateway(settings: Settings) -> Gateway | None:
    if not settings.payment_provider_name:
        return None
    return Gateway(
        settings.payment_provider_name,
        settings.payment_provider_url,
        settings.payment_provider_secret.get_secret_value(),
        settings.payment_provider_takes_card,
    )
