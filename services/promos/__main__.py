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
from services.common.db import Database
from services.common.errors import invalid_field
from services.common.member_events import MemberEventsHandlers
from services.common.process import main
from services.common.server import Service, Servicer, run_server, servicer
from services.common.sessions import SessionCache, SessionGate
from services.common.throttle import Throttle
from services.promos import jobs
from services.promos.campaigns.first_logins import on_member_event
from services.promos.campaigns.handlers import CampaignHandlers, PromotionHandlers
from services.promos.codes.handlers import CodeHandlers
from services.promos.codes.order_handlers import OrderCodesHandlers
from services.promos.settings import Settings

CONSTRAINTS = {
    "ck_campaigns_window": lambda: invalid_field("ends_at", "must lie after starts_at"),
    "ck_code_sets_amount_off_positive": lambda: invalid_field(
        "benefit.amount_off.amount_minor", "must be more than nothing"
    ),
}


_EVENTS_AT_ONCE = 4
"""First logins meet at a campaign's row; more at once would only hold connections waiting for it."""


def open_database(settings: Settings) -> Database:
    """Opens promos' own database."""
    return Database(settings.database_url, pool_size=settings.database_pool_size, constraints=CONSTRAINTS)


@asynccontextmanager
async def compose(settings: Settings) -> AsyncIterator[Service]:
    """Builds the service."""
    db = open_database(settings)
    redis = Redis(settings.redis_url, settings.redis_seconds)
    peers = Peers("promos", settings)
    keys = KeyRing(peers.fetch_jwks)
    try:
        yield Service(
            _servicers(db, redis, settings),
            TokenVerifier(keys),
            SessionGate(SessionCache(redis), peers.check_session),
            checks=[schema.at_head("promos", db), keys.known],
            loops=[keys.keep_fresh],
        )
    finally:
        await peers.close()
        await redis.close()
        await db.close()


def _servicers(db: Database, redis: Redis, settings: Settings) -> list[Servicer]:
    throttle = Throttle(redis)
    return [
        servicer(
            "scrip.promos.v1.CodeService",
            code_pb2_grpc.add_CodeServiceServicer_to_server,
            CodeHandlers(db, throttle, wrong_codes_per_minute=settings.wrong_codes_per_minute),
        ),
        servicer(
            "scrip.promos.v1.CampaignService",
            campaign_pb2_grpc.add_CampaignServiceServicer_to_server,
            CampaignHandlers(db),
        ),
        servicer(
            "scrip.promos.v1.PromotionService",
            campaign_pb2_grpc.add_PromotionServiceServicer_to_server,
            PromotionHandlers(db),
        ),
        servicer(
            "scrip.promos.internal.v1.PromosInternalService",
            promos_pb2_grpc.add_PromosInternalServiceServicer_to_server,
            OrderCodesHandlers(db),
        ),
        servicer(
            "scrip.common.internal.v1.MemberEventsService",
            member_events_pb2_grpc.add_MemberEventsServiceServicer_to_server,
            MemberEventsHandlers(db, [on_member_event], at_once=_EVENTS_AT_ONCE),
        ),
    ]


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serves until told to stop."""
    async with compose(settings) as service:
        await run_server(service, settings, stop)


async def work(settings: Settings, stop: asyncio.Event) -> None:
    """Does jobs until told to stop."""
    from services.common.worker import run_worker  # noqa: PLC0415  # what serves needs no job library

    db = open_database(settings)
    peers = Peers("promos", settings)
    try:
        await run_worker(settings.database_url, jobs.tasks(db, peers), stop, loops=jobs.loops(db))
    finally:
        await peers.close()
        await db.close()


if __name__ == "__main__":
    main("promos", Settings, serve, work)
