"""Promos' composition root: everything is built here and passed in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from scrip.common.internal.v1 import member_events_pb2_grpc
from scrip.promos.internal.v1 import promos_pb2_grpc
from scrip.promos.v1 import campaign_pb2_grpc, code_pb2_grpc

from services.common import schema
from services.common.auth import KeyRing, TokenVerifier
from services.common.cache import Redis
from services.common.channels import Peers
from services.common.errors import invalid_field
from services.common.legacy_db import Database
from services.common.process import main
from services.common.server import Service, Servicer, run_server
from services.common.sessions import SessionCache, SessionGate
from services.common.throttle import Throttle
from services.common.worker import run_worker
from services.promos import jobs
from services.promos.handlers.campaign import CampaignHandlers, PromotionHandlers
from services.promos.handlers.code import CodeHandlers
from services.promos.handlers.internal import InternalHandlers, MemberEventsHandlers
from services.promos.settings import Settings

CONSTRAINTS = {
    "ck_campaigns_window": lambda: invalid_field("ends_at", "must lie after starts_at"),
    "ck_code_sets_amount_off_positive": lambda: invalid_field(
        "benefit.amount_off.amount_minor", "must be more than nothing"
    ),
}


def open_database(settings: Settings) -> Database:
    """Promos' own database."""
    return Database(settings.database_url, pool_size=settings.database_pool_size, constraints=CONSTRAINTS)


@asynccontextmanager
async def compose(settings: Settings) -> AsyncIterator[Service]:
    """The service, built."""
    db = open_database(settings)
    redis = Redis(settings.redis_url, settings.redis_seconds)
    peers = Peers("promos", settings)
    keys = KeyRing(peers.fetch_jwks)
    servicers = [
        Servicer(
            "scrip.promos.v1.CodeService",
            code_pb2_grpc.add_CodeServiceServicer_to_server,
            CodeHandlers(db, settings, Throttle(redis)),
        ),
        Servicer(
            "scrip.promos.v1.CampaignService",
            campaign_pb2_grpc.add_CampaignServiceServicer_to_server,
            CampaignHandlers(db),
        ),
        Servicer(
            "scrip.promos.v1.PromotionService",
            campaign_pb2_grpc.add_PromotionServiceServicer_to_server,
            PromotionHandlers(db),
        ),
        Servicer(
            "scrip.promos.internal.v1.PromosInternalService",
            promos_pb2_grpc.add_PromosInternalServiceServicer_to_server,
            InternalHandlers(db),
        ),
        Servicer(
            "scrip.common.internal.v1.MemberEventsService",
            member_events_pb2_grpc.add_MemberEventsServiceServicer_to_server,
            MemberEventsHandlers(db),
        ),
    ]
    try:
        yield Service(
            servicers,
            TokenVerifier(keys),
            SessionGate(SessionCache(redis), peers.check_session),
            checks=[schema.at_head("promos", db), keys.known],
            loops=[keys.keep_fresh],
        )
    finally:
        await peers.close()
        await redis.close()
        await db.close()


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serves until told to stop."""
    async with compose(settings) as service:
        await run_server(service, settings, stop)


async def work(settings: Settings, stop: asyncio.Event) -> None:
    """Does jobs until told to stop."""
    db = open_database(settings)
    peers = Peers("promos", settings)
    try:
        await run_worker(settings.database_url, jobs.tasks(db, peers), stop, loops=jobs.loops(db))
    finally:
        await peers.close()
        await db.close()


if __name__ == "__main__":
    main("promos", Settings, serve, work)
