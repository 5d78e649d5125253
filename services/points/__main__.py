"""Points' composition root: everything is built here and passed in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from scrip.common.internal.v1 import member_events_pb2_grpc
from scrip.common.v1 import permission_pb2  # noqa: F401  # registers the option that handlers declare
from scrip.points.internal.v1 import points_pb2_grpc as internal_pb2_grpc
from scrip.points.v1 import points_pb2_grpc, purchase_pb2_grpc

from services.common import schema
from services.common.auth import KeyRing, TokenVerifier
from services.common.cache import Redis, VersionedCache
from services.common.channels import Peers
from services.common.db import Database
from services.common.process import main
from services.common.server import Service, Servicer, run_server
from services.common.sessions import SessionCache, SessionGate
from services.points.balances import Balances
from services.points.clients import MemberCodesClient
from services.points.handlers.internal import InternalHandlers, MemberEventsHandlers
from services.points.handlers.points import PointsHandlers
from services.points.handlers.purchases import PurchaseHandlers
from services.points.purchases import EarnRule, Programme, balance_limit_reached, member_code_unknown
from services.points.recorder import PurchaseRecorder
from services.points.settings import Settings

CONSTRAINTS = {
    "ck_accounts_balance_limit": balance_limit_reached,
    "ck_accounts_closed_empty": member_code_unknown,  # only a purchase amid the closing comes so far
}


def open_database(settings: Settings) -> Database:
    """Points' own database."""
    return Database(settings.database_url, pool_size=settings.database_pool_size, constraints=CONSTRAINTS)


@asynccontextmanager
async def compose(settings: Settings) -> AsyncIterator[Service]:
    """The service, built."""
    db = open_database(settings)
    redis = Redis(settings.redis_url, settings.redis_seconds)
    peers = Peers("points", settings)
    keys = KeyRing(peers.fetch_jwks)
    balances = Balances(db, VersionedCache(redis, "balance:"))
    recorder = PurchaseRecorder(
        db,
        balances,
        MemberCodesClient(peers).resolve,
        offline=timedelta(seconds=settings.code_offline_seconds),
    )
    programme = Programme(settings.currency, EarnRule(settings.earn_points, settings.earn_per_minor))

    servicers = [
        Servicer(
            "scrip.points.v1.PurchaseService",
            purchase_pb2_grpc.add_PurchaseServiceServicer_to_server,
            PurchaseHandlers(recorder, programme),
        ),
        Servicer(
            "scrip.points.v1.PointsService",
            points_pb2_grpc.add_PointsServiceServicer_to_server,
            PointsHandlers(db, balances),
        ),
        Servicer(
            "scrip.points.internal.v1.PointsInternalService",
            internal_pb2_grpc.add_PointsInternalServiceServicer_to_server,
            InternalHandlers(db, balances),
        ),
        Servicer(
            "scrip.common.internal.v1.MemberEventsService",
            member_events_pb2_grpc.add_MemberEventsServiceServicer_to_server,
            MemberEventsHandlers(db, balances),
        ),
    ]
    try:
        yield Service(
            servicers,
            TokenVerifier(keys),
            SessionGate(SessionCache(redis), peers.check_session),
            checks=[schema.at_head("points", db), keys.known],
            loops=[keys.keep_fresh],
            drains=[recorder.drain],
        )
    finally:
        await peers.close()
        await redis.close()
        await db.close()


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serves until `stop` is set."""
    async with compose(settings) as service:
        await run_server(service, settings, stop)


if __name__ == "__main__":
    main("points", Settings, serve)
