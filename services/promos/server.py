"""Serves promos: every feature is built here and passed in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from scrip.common.internal.v1 import member_events_pb2_grpc
from scrip.promos.internal.v1 import promos_pb2_grpc
from scrip.promos.v1 import (
    basket_pb2_grpc,
    campaign_pb2_grpc,
    code_pb2_grpc,
    operations_pb2,
    operations_pb2_grpc,
    reward_pb2_grpc,
)

from services.common import schema
from services.common.auth import KeyRing, TokenVerifier
from services.common.cache import Redis
from services.common.db import Database
from services.common.member_events import MemberEventsHandlers
from services.common.operations_handlers import OperationsHandlers
from services.common.server import Service, Servicer, run_server, servicer
from services.common.sessions import SessionCache, SessionGate
from services.common.throttle import Throttle
from services.promos.baskets.handlers import BasketHandlers
from services.promos.baskets.purchases import Purchases
from services.promos.baskets.quotes import Quotes
from services.promos.campaigns.first_logins import on_member_event
from services.promos.campaigns.handlers import CampaignHandlers
from services.promos.campaigns.internal_handlers import UsableRewardHandlers
from services.promos.campaigns.reward_handlers import RewardHandlers
from services.promos.codes.guesses import Guesses
from services.promos.codes.handlers import CodeHandlers
from services.promos.codes.order_handlers import OrderCodesHandlers
from services.promos.codes.redeemer import Redeemer
from services.promos.codes.redemption_handlers import RedemptionHandlers
from services.promos.parts import build
from services.promos.settings import Settings
from services.promos.shown_members import ShownMembers

_EVENTS_AT_ONCE = 4
"""First logins meet at a campaign's row; more at once would only hold connections waiting for it."""


@asynccontextmanager
async def compose(settings: Settings) -> AsyncIterator[Service]:
    """Builds the service."""
    async with build(settings) as parts:
        redis = Redis(settings.redis_url, settings.redis_seconds)
        keys = KeyRing(parts.peers.fetch_jwks)
        throttle = Throttle(redis, settings.service_secret.get_secret_value().encode())
        guesses = Guesses(
            throttle, per_member=settings.wrong_codes_per_minute, per_till=settings.wrong_codes_per_till
        )
        members = ShownMembers(parts.peers)
        redeemer = Redeemer(parts.db, guesses, members)
        quotes = Quotes(parts.db, guesses, Purchases(parts.peers))
        try:
            yield Service(
                _servicers(
                    parts.db,
                    settings,
                    guesses=guesses,
                    members=members,
                    redeemer=redeemer,
                    quotes=quotes,
                ),
                TokenVerifier(keys),
                SessionGate(SessionCache(redis), parts.peers.check_session),
                checks=[schema.at_head("promos", parts.db), keys.known],
                loops=[keys.keep_fresh],
                drains=[redeemer.drain, quotes.drain],
            )
        finally:
            await redis.close()


def _servicers(
    db: Database,
    settings: Settings,
    *,
    guesses: Guesses,
    members: ShownMembers,
    redeemer: Redeemer,
    quotes: Quotes,
) -> list[Servicer]:
    return [
        servicer(
            "scrip.promos.v1.BasketService",
            basket_pb2_grpc.add_BasketServiceServicer_to_server,
            BasketHandlers(db, quotes, members, settings.currency),
        ),
        servicer(
            "scrip.promos.v1.CodeService",
            code_pb2_grpc.add_CodeServiceServicer_to_server,
            CodeHandlers(db, guesses, members, redeemer),
            RedemptionHandlers(db, cancel_days=settings.redemption_cancel_days),
        ),
        servicer(
            "scrip.promos.v1.CampaignService",
            campaign_pb2_grpc.add_CampaignServiceServicer_to_server,
            CampaignHandlers(db, settings.currency),
        ),
        servicer(
            "scrip.promos.v1.RewardService",
            reward_pb2_grpc.add_RewardServiceServicer_to_server,
            RewardHandlers(db),
        ),
        servicer(
            "scrip.promos.v1.PromosOperationsService",
            operations_pb2_grpc.add_PromosOperationsServiceServicer_to_server,
            OperationsHandlers(db, operations_pb2),
        ),
        servicer(
            "scrip.promos.internal.v1.PromosInternalService",
            promos_pb2_grpc.add_PromosInternalServiceServicer_to_server,
            OrderCodesHandlers(db, settings.currency),
            UsableRewardHandlers(db),
        ),
        servicer(
            "scrip.common.internal.v1.MemberEventsService",
            member_events_pb2_grpc.add_MemberEventsServiceServicer_to_server,
            MemberEventsHandlers(db, [on_member_event], at_once=_EVENTS_AT_ONCE),
        ),
    ]


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serves until `stop` is set."""
    async with compose(settings) as service:
        await run_server(service, settings, stop)
