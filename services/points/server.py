"""Serves points: every feature is built here and passed in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

from scrip.common.internal.v1 import member_events_pb2_grpc
from scrip.points.internal.v1 import points_pb2_grpc as internal_pb2_grpc
from scrip.points.v1 import (
    admin_pb2_grpc,
    earn_rule_pb2_grpc,
    operations_pb2,
    operations_pb2_grpc,
    points_pb2_grpc,
    programme_pb2_grpc,
    purchase_pb2_grpc,
)

from services.common import schema
from services.common.auth import KeyRing, TokenVerifier
from services.common.member_events import MemberEventsHandlers
from services.common.members import Closed, MemberEvent
from services.common.operations_handlers import OperationsHandlers
from services.common.server import Service, Servicer, run_server, servicer
from services.common.sessions import SessionCache, SessionGate
from services.common.throttle import Throttle
from services.points import ledger, members
from services.points.about.handlers import ProgrammeHandlers
from services.points.adjustments.handlers import AdjustmentHandlers
from services.points.adjustments.import_handlers import ImportHandlers
from services.points.balances import Balances
from services.points.balances.handlers import BalanceHandlers
from services.points.balances.internal_handlers import AskedBalanceHandlers
from services.points.claims.handlers import ClaimHandlers
from services.points.claims.purchase_claims import PurchaseClaims
from services.points.earning import Rate, RuleBook
from services.points.earning.handlers import EarnRuleHandlers
from services.points.ledger.handlers import LedgerHandlers, SpendingHandlers
from services.points.parts import Parts, build, point_value
from services.points.purchase_details.handlers import PurchaseDetailsHandlers
from services.points.purchase_details.internal_handlers import AskedPurchasesHandlers
from services.points.purchases.batch_handlers import BatchHandlers
from services.points.purchases.dry_run_handlers import DryRunHandlers
from services.points.purchases.handlers import RecordHandlers
from services.points.purchases.identity_client import MemberCodesClient
from services.points.purchases.list_handlers import PurchaseListHandlers
from services.points.purchases.receipts import ReceiptDecoder
from services.points.purchases.recorder import PurchaseRecorder
from services.points.purchases.streams import PurchaseStreams
from services.points.refunds.handlers import RefundHandlers
from services.points.settings import Settings

MAX_REQUEST_BYTES = 8 << 20
"""A batch of 1,000 receipts, as much as the edge lets pass."""


@asynccontextmanager
async def compose(settings: Settings) -> AsyncIterator[Service]:
    """The service, built."""
    async with build(settings) as parts:
        keys = KeyRing(parts.peers.fetch_jwks)
        rules = RuleBook(parts.db, Rate(settings.earn_points, settings.earn_per_minor))
        member_codes = MemberCodesClient(parts.peers)
        recorder = PurchaseRecorder(
            parts.db,
            parts.balances,
            member_codes.resolve,
            parts.programme,
            offline=timedelta(seconds=settings.code_offline_seconds),
        )
        streams = PurchaseStreams()
        spending = SpendingHandlers(parts.db, parts.balances.void)
        throttle = Throttle(parts.redis, settings.service_secret.get_secret_value().encode())
        yield Service(
            _servicers(
                settings,
                parts,
                rules,
                recorder,
                streams=streams,
                spending=spending,
                member_codes=member_codes,
                throttle=throttle,
            ),
            TokenVerifier(keys),
            SessionGate(SessionCache(parts.redis), parts.peers.check_session),
            checks=[schema.at_head("points", parts.db), keys.known, rules.known],
            loops=[keys.keep_fresh, rules.keep_fresh],
            on_stop=[streams.close],
            drains=[recorder.drain, spending.drain],
            max_request_bytes=MAX_REQUEST_BYTES,
        )


def _servicers(
    settings: Settings,
    parts: Parts,
    rules: RuleBook,
    recorder: PurchaseRecorder,
    *,
    streams: PurchaseStreams,
    spending: SpendingHandlers,
    member_codes: MemberCodesClient,
    throttle: Throttle,
) -> list[Servicer]:
    db, balances, programme = parts.db, parts.balances, parts.programme
    claims = PurchaseClaims(
        db,
        balances,
        resolve_code=recorder.resolve,
        programme=programme,
        rules=rules,
        throttle=throttle,
    )
    receipts = ReceiptDecoder(programme, rules)
    details = PurchaseDetailsHandlers(db, rules)
    lists = PurchaseListHandlers(db, rules)
    claiming = ClaimHandlers(claims, rules)
    value = point_value(settings)
    balance = BalanceHandlers(db, balances, programme, value)
    entries = LedgerHandlers(db)
    return [
        servicer(
            "scrip.points.v1.PurchaseService",
            purchase_pb2_grpc.add_PurchaseServiceServicer_to_server,
            RecordHandlers(receipts, recorder, rules),
            BatchHandlers(receipts, recorder, streams, rules),
            RefundHandlers(db, balances, programme, rules),
            details,
            claiming,
        ),
        servicer(
            "scrip.points.v1.EarnRuleService",
            earn_rule_pb2_grpc.add_EarnRuleServiceServicer_to_server,
            EarnRuleHandlers(db),
            DryRunHandlers(db, programme, rules, member_codes.resolve),
        ),
        servicer(
            "scrip.points.v1.PointsService",
            points_pb2_grpc.add_PointsServiceServicer_to_server,
            balance,
            entries,
            details,
            lists,
            claiming,
        ),
        servicer(
            "scrip.points.v1.PointsAdminService",
            admin_pb2_grpc.add_PointsAdminServiceServicer_to_server,
            balance,
            entries,
            AdjustmentHandlers(db, balances, programme),
            ImportHandlers(db),
            lists,
        ),
        servicer(
            "scrip.points.v1.ProgrammeService",
            programme_pb2_grpc.add_ProgrammeServiceServicer_to_server,
            ProgrammeHandlers(settings, rules, value),
        ),
        servicer(
            "scrip.points.v1.PointsOperationsService",
            operations_pb2_grpc.add_PointsOperationsServiceServicer_to_server,
            OperationsHandlers(db, operations_pb2),
        ),
        servicer(
            "scrip.points.internal.v1.PointsInternalService",
            internal_pb2_grpc.add_PointsInternalServiceServicer_to_server,
            spending,
            AskedBalanceHandlers(balances),
            AskedPurchasesHandlers(db),
        ),
        servicer(
            "scrip.common.internal.v1.MemberEventsService",
            member_events_pb2_grpc.add_MemberEventsServiceServicer_to_server,
            MemberEventsHandlers(
                db,
                [members.on_member_event, ledger.on_member_event],
                after=partial(_void_when_closed, balances),
            ),
        ),
    ]


async def _void_when_closed(balances: Balances, event: MemberEvent) -> None:
    """Voids what the cache has of a member when the points are forfeited."""
    if isinstance(event, Closed):
        await balances.void([event.member_id])


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serves until `stop` is set."""
    async with compose(settings) as service:
        await run_server(service, settings, stop)
