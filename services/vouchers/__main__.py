"""Vouchers' composition root: everything is built here and passed in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from scrip.common.internal.v1 import member_events_pb2_grpc
from scrip.vouchers.v1 import catalogue_pb2_grpc, order_pb2_grpc, shop_pb2_grpc, wallet_pb2_grpc

from services.common import schema
from services.common.auth import KeyRing, TokenVerifier
from services.common.cache import Flags, Redis
from services.common.channels import Peers
from services.common.legacy_db import Database
from services.common.process import main
from services.common.server import Service, Servicer, run_server
from services.common.sessions import SessionCache, SessionGate
from services.common.worker import run_worker
from services.vouchers import jobs
from services.vouchers.clients import PointsClient, PromosClient
from services.vouchers.handlers.catalogue import CatalogueHandlers
from services.vouchers.handlers.internal import MemberEventsHandlers
from services.vouchers.handlers.order import OrderHandlers
from services.vouchers.handlers.shop import ShopHandlers
from services.vouchers.handlers.wallet import WalletHandlers
from services.vouchers.saga import OrderSaga
from services.vouchers.settings import Settings
from services.vouchers.stock import Stock


@dataclass(frozen=True)
class _Parts:
    """What server and worker share."""

    db: Database
    redis: Redis
    peers: Peers
    promos: PromosClient
    stock: Stock
    saga: OrderSaga


def open_database(settings: Settings) -> Database:
    """Vouchers' own database."""
    return Database(settings.database_url, pool_size=settings.database_pool_size)


@asynccontextmanager
async def _build(settings: Settings) -> AsyncIterator[_Parts]:
    db = open_database(settings)
    redis = Redis(settings.redis_url, settings.redis_seconds)
    peers = Peers("vouchers", settings)
    promos = PromosClient(peers.promos, peers.token)
    lease = settings.order_lease_seconds
    stock = Stock(db, Flags(redis, "sold-out:"), lease_seconds=lease)
    saga = OrderSaga(db, PointsClient(peers.points, peers.token), promos, stock, lease_seconds=lease)
    try:
        yield _Parts(db, redis, peers, promos, stock, saga)
    finally:
        await peers.close()
        await redis.close()
        await db.close()


@asynccontextmanager
async def compose(settings: Settings) -> AsyncIterator[Service]:
    """The service, built."""
    async with _build(settings) as parts:
        db = parts.db
        keys = KeyRing(parts.peers.fetch_jwks)
        shop = ShopHandlers(db, parts.stock, max_watchers=settings.max_watchers)
        orders = OrderHandlers(db, parts.stock, parts.saga, wait_seconds=settings.order_wait_seconds)
        yield Service(
            [
                Servicer(
                    "scrip.vouchers.v1.CatalogueService",
                    catalogue_pb2_grpc.add_CatalogueServiceServicer_to_server,
                    CatalogueHandlers(db),
                ),
                Servicer(
                    "scrip.vouchers.v1.ShopService", shop_pb2_grpc.add_ShopServiceServicer_to_server, shop
                ),
                Servicer(
                    "scrip.vouchers.v1.OrderService",
                    order_pb2_grpc.add_OrderServiceServicer_to_server,
                    orders,
                ),
                Servicer(
                    "scrip.vouchers.v1.WalletService",
                    wallet_pb2_grpc.add_WalletServiceServicer_to_server,
                    WalletHandlers(db, parts.promos),
                ),
                Servicer(
                    "scrip.common.internal.v1.MemberEventsService",
                    member_events_pb2_grpc.add_MemberEventsServiceServicer_to_server,
                    MemberEventsHandlers(db),
                ),
            ],
            TokenVerifier(keys),
            SessionGate(SessionCache(parts.redis), parts.peers.check_session),
            checks=[schema.at_head("vouchers", db), keys.known],
            loops=[keys.keep_fresh],
            on_stop=[shop.close_streams],
            drains=[parts.saga.drain],
        )


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serves until told to stop."""
    async with compose(settings) as service:
        await run_server(service, settings, stop)


async def work(settings: Settings, stop: asyncio.Event) -> None:
    """Does jobs and sweeps orders until told to stop."""
    async with _build(settings) as parts:
        tasks = jobs.tasks(parts.db, parts.promos, parts.peers)
        await run_worker(settings.database_url, tasks, stop, loops=jobs.loops(parts.db, parts.saga))
        await parts.saga.drain()


if __name__ == "__main__":
    main("vouchers", Settings, serve, work)
