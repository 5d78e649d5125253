"""Points' composition root: everything is built here and passed in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from scrip.common.internal.v1 import member_events_pb2_grpc
from scrip.common.v1 import permission_pb2  # noqa: F401  # registers the option that handlers declare
from scrip.points.internal.v1 import points_pb2_grpc as internal_pb2_grpc
from scrip.points.v1 import admin_pb2_grpc, earn_rule_pb2_grpc, points_pb2_grpc, purchase_pb2_grpc

from services.common import schema
from services.common.auth import KeyRing, TokenVerifier
from services.common.cache import Redis
from services.common.channels import Peers
from services.common.db import Database
from services.common.errors import invalid_field
from services.common.leased_cache import LeasedCache
from services.common.process import main
from services.common.server import Service, Servicer, run_server, servicer
from services.common.sessions import SessionCache, SessionGate
from services.common.throttle import Throttle
from services.common.worker import run_worker
from services.points import jobs
from services.points.adjustments import Importer
from services.points.adjustments.handlers import AdjustmentHandlers
from services.points.adjustments.import_handlers import ImportHandlers
from services.points.balances import BALANCE_KEYS, Balances
from services.points.balances.handlers import BalanceHandlers
from services.points.books import PATIENT_SECONDS, BooksChecker
from services.points.claims.handlers import ClaimHandlers
from services.points.claims.purchase_claims import PurchaseClaims
from services.points.earning import Rate, RuleBook
from services.points.earning.handlers import EarnRuleHandlers
from services.points.ledger.handlers import LedgerHandlers, SpendingHandlers
from services.points.members.handlers import MemberEventsHandlers
from services.points.programme import Programme, balance_limit_reached
from services.points.purchase_details.handlers import PurchaseDetailsHandlers
from services.points.purchases import member_code_unknown
from services.points.purchases.batch_handlers import BatchHandlers
from services.points.purchases.handlers import PurchaseListHandlers, RecordHandlers
from services.points.purchases.identity_client import MemberCodesClient
from services.points.purchases.receipts import ReceiptDecoder
from services.points.purchases.recorder import PurchaseRecorder
from services.points.purchases.streams import PurchaseStreams
from services.points.refunds.handlers import RefundHandlers
from services.points.settings import Settings

CONSTRAINTS = {
    "ck_accounts_balance_limit": balance_limit_reached,
    "ck_accounts_closed_empty": member_code_unknown,  # only a purchase amid the closing comes so far
    "ck_earn_rules_window": lambda: invalid_field("ends_at", "must lie after starts_at"),
}

MAX_REQUEST_BYTES = 8 << 20
"""A batch of 1,000 receipts, as much as the edge lets pass."""


@dataclass(frozen=True)
class _Parts:
    """What server and worker share."""

    db: Database
    redis: Redis
    peers: Peers
    balances: Balances
    programme: Programme


def open_database(settings: Settings) -> Database:
    """Points' own database."""
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


@asynccontextmanager
async def _build(settings: Settings) -> AsyncIterator[_Parts]:
    db = open_database(settings)
    redis = Redis(settings.redis_url, settings.redis_seconds)
    peers = Peers("points", settings)
    balances = Balances(db, LeasedCache(redis, BALANCE_KEYS))
    try:
        yield _Parts(db, redis, peers, balances, _programme(settings))
    finally:
        await peers.close()
        await redis.close()
        await db.close()


@asynccontextmanager
async def compose(settings: Settings) -> AsyncIterator[Service]:
    """The service, built."""
    async with _build(settings) as parts:
        keys = KeyRing(parts.peers.fetch_jwks)
        rules = RuleBook(parts.db, Rate(settings.earn_points, settings.earn_per_minor))
        recorder = PurchaseRecorder(
            parts.db,
            parts.balances,
            MemberCodesClient(parts.peers).resolve,
            parts.programme,
            offline=timedelta(seconds=settings.code_offline_seconds),
        )
        streams = PurchaseStreams()
        yield Service(
            _servicers(parts, rules, recorder, streams),
            TokenVerifier(keys),
            SessionGate(SessionCache(parts.redis), parts.peers.check_session),
            checks=[schema.at_head("points", parts.db), keys.known, rules.known],
            loops=[keys.keep_fresh, rules.keep_fresh],
            on_stop=[streams.close],
            drains=[recorder.drain],
            max_request_bytes=MAX_REQUEST_BYTES,
        )


def _servicers(
    parts: _Parts, rules: RuleBook, recorder: PurchaseRecorder, streams: PurchaseStreams
) -> list[Servicer]:
    db, balances, programme = parts.db, parts.balances, parts.programme
    claims = PurchaseClaims(
        db,
        balances,
        resolve_code=recorder.resolve,
        programme=programme,
        rules=rules,
        throttle=Throttle(parts.redis),
    )
    receipts = ReceiptDecoder(programme, rules)
    details = PurchaseDetailsHandlers(db, rules)
    lists = PurchaseListHandlers(db)
    claiming = ClaimHandlers(claims)
    balance = BalanceHandlers(db, balances, programme)
    ledger = LedgerHandlers(db)
    return [
        servicer(
            "scrip.points.v1.PurchaseService",
            purchase_pb2_grpc.add_PurchaseServiceServicer_to_server,
            RecordHandlers(receipts, recorder),
            BatchHandlers(receipts, recorder, streams),
            RefundHandlers(db, balances, programme, rules),
            details,
            claiming,
        ),
        servicer(
            "scrip.points.v1.EarnRuleService",
            earn_rule_pb2_grpc.add_EarnRuleServiceServicer_to_server,
            EarnRuleHandlers(db, programme, rules),
        ),
        servicer(
            "scrip.points.v1.PointsService",
            points_pb2_grpc.add_PointsServiceServicer_to_server,
            balance,
            ledger,
            details,
            lists,
            claiming,
        ),
        servicer(
            "scrip.points.v1.PointsAdminService",
            admin_pb2_grpc.add_PointsAdminServiceServicer_to_server,
            balance,
            ledger,
            AdjustmentHandlers(db, balances, programme),
            ImportHandlers(db),
            lists,
        ),
        servicer(
            "scrip.points.internal.v1.PointsInternalService",
            internal_pb2_grpc.add_PointsInternalServiceServicer_to_server,
            SpendingHandlers(db, balances.void),
        ),
        servicer(
            "scrip.common.internal.v1.MemberEventsService",
            member_events_pb2_grpc.add_MemberEventsServiceServicer_to_server,
            MemberEventsHandlers(db, balances.void),
        ),
    ]


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serves until `stop` is set."""
    async with compose(settings) as service:
        await run_server(service, settings, stop)


async def work(settings: Settings, stop: asyncio.Event) -> None:
    """Does jobs until `stop` is set."""
    async with _build(settings) as parts:
        importer = Importer(parts.db, parts.balances, parts.programme)
        await run_worker(
            settings.database_url,
            jobs.tasks(parts.db, parts.peers, importer),
            stop,
            queues=jobs.QUEUES,
            loops=jobs.loops(parts.db, parts.balances),
        )


async def check_books(settings: Settings, stop: asyncio.Event) -> None:
    """Compares all books and prints what does not agree; ends with status 1 when anything does not."""
    db, redis = open_database(settings), Redis(settings.redis_url, PATIENT_SECONDS)
    try:
        checker = BooksChecker(db, LeasedCache(redis, BALANCE_KEYS))
        agree = await checker.run(stop, print)
    finally:
        await redis.close()
        await db.close()
    if not agree:
        raise SystemExit(1)


if __name__ == "__main__":
    main("points", Settings, serve, work, {"check-books": check_books})
