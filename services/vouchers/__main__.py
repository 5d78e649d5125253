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
from services.common.db import Database
from services.common.member_events import MemberEventsHandlers
from services.common.process import main
from services.common.server import Service, Servicer, run_server, servicer
from services.common.sessions import SessionCache, SessionGate
from services.vouchers import jobs
from services.vouchers.catalogue.handlers import CatalogueHandlers
from services.vouchers.catalogue.quantity import Quantities
from services.vouchers.catalogue.shop_handlers import ShopHandlers
from services.vouchers.orders.clients import OrderCodes, OrderPoints
from services.vouchers.orders.handlers import OrderHandlers
from services.vouchers.orders.placing import Placing
from services.vouchers.orders.saga import OrderSaga
from services.vouchers.settings import Settings
from services.vouchers.wallet.codes_client import CodesReader
from services.vouchers.wallet.handlers import WalletHandlers


@dataclass(frozen=True)
class _Parts:
    """What server and worker share."""

    db: Database
    redis: Redis
    peers: Peers
    placing: Placing
    saga: OrderSaga


def open_database(settings: Settings) -> Database:
    """Opens vouchers' own database."""
    return Database(settings.database_url, pool_size=settings.database_pool_size)


@asynccontextmanager
async def _build(settings: Settings) -> AsyncIterator[_Parts]:
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
        yield _Parts(db, redis, peers, placing, saga)
    finally:
        await peers.close()
        await redis.close()
        await db.close()


@asynccontextmanager
async def compose(settings: Settings) -> AsyncIterator[Service]:
    """Builds the service."""
    async with _build(settings) as parts:
        keys = KeyRing(parts.peers.fetch_jwks)
        shop = ShopHandlers(parts.db, Quantities(parts.db), max_watchers=settings.max_watchers)
        yield Service(
            _servicers(parts, shop, settings),
            TokenVerifier(keys),
            SessionGate(SessionCache(parts.redis), parts.peers.check_session),
            checks=[schema.at_head("vouchers", parts.db), keys.known],
            loops=[keys.keep_fresh],
            on_stop=[shop.close_streams],
            drains=[parts.saga.drain],
        )


def _servicers(parts: _Parts, shop: ShopHandlers, settings: Settings) -> list[Servicer]:
    return [
        servicer(
            "scrip.vouchers.v1.CatalogueService",
            catalogue_pb2_grpc.add_CatalogueServiceServicer_to_server,
            CatalogueHandlers(parts.db),
        ),
        servicer("scrip.vouchers.v1.ShopService", shop_pb2_grpc.add_ShopServiceServicer_to_server, shop),
        servicer(
            "scrip.vouchers.v1.OrderService",
            order_pb2_grpc.add_OrderServiceServicer_to_server,
            OrderHandlers(parts.db, parts.placing, parts.saga, wait_seconds=settings.order_wait_seconds),
        ),
        servicer(
            "scrip.vouchers.v1.WalletService",
            wallet_pb2_grpc.add_WalletServiceServicer_to_server,
            WalletHandlers(parts.db, CodesReader(parts.peers.promos, parts.peers.token)),
        ),
        servicer(
            "scrip.common.internal.v1.MemberEventsService",
            member_events_pb2_grpc.add_MemberEventsServiceServicer_to_server,
            MemberEventsHandlers(parts.db),
        ),
    ]


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serves until told to stop."""
    async with compose(settings) as service:
        await run_server(service, settings, stop)


async def work(settings: Settings, stop: asyncio.Event) -> None:
    """Does jobs and sweeps orders until told to stop."""
    from services.common.worker import run_worker  # noqa: PLC0415  # what serves needs no job library

    async with _build(settings) as parts:
        tasks = jobs.tasks(parts.db, parts.peers)
        await run_worker(settings.database_url, tasks, stop, loops=jobs.loops(parts.db, parts.saga))
        await parts.saga.drain()


if __name__ == "__main__":
    main("vouchers", Settings, serve, work)
