"""Serves promos: every feature is built here and passed in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from scrip.common.internal.v1 import member_events_pb2_grpc
from scrip.promos.internal.v1 import promos_pb2_grpc
from scrip.promos.v1 import (
    brand_pb2_grpc,
    campaign_pb2_grpc,
    code_pb2_grpc,
    operations_pb2,
    operations_pb2_grpc,
    reward_pb2_grpc,
    store_pb2_grpc,
    webhook_pb2_grpc,
)

from services.common import schema
from services.common.auth import KeyRing, TokenVerifier
from services.common.cache import Redis
from services.common.member_events import MemberEventsHandlers
from services.common.operations_handlers import OperationsHandlers
from services.common.server import Service, Servicer, run_server, servicer
from services.common.sessions import SessionCache, SessionGate
from services.common.throttle import Throttle
from services.promos.brands.handlers import BrandHandlers
from services.promos.brands.images import Images
from services.promos.brands.store_handlers import StoreHandlers
from services.promos.campaigns.first_logins import on_member_event
from services.promos.campaigns.handlers import CampaignHandlers
from services.promos.campaigns.internal_handlers import UsableRewardHandlers
from services.promos.campaigns.reward_handlers import RewardHandlers
from services.promos.codes.handlers import CodeHandlers
from services.promos.codes.order_handlers import OrderCodesHandlers
from services.promos.codes.redemption_handlers import RedemptionHandlers
from services.promos.parts import Parts, build
from services.promos.settings import Settings
from services.promos.webhooks.handlers import DeliveryHandlers, WebhookHandlers

_EVENTS_AT_ONCE = 4
"""First logins meet at a campaign's row; more at once would only hold connections waiting for it."""


@asynccontextmanager
async def compose(settings: Settings) -> AsyncIterator[Service]:
    """Builds the service."""
    async with build(settings) as parts:
        redis = Redis(settings.redis_url, settings.redis_seconds)
        keys = KeyRing(parts.peers.fetch_jwks)
        try:
            yield Service(
                _servicers(parts, redis, settings),
                TokenVerifier(keys),
                SessionGate(SessionCache(redis), parts.peers.check_session),
                checks=[schema.at_head("promos", parts.db), keys.known],
                loops=[keys.keep_fresh],
            )
        finally:
            await redis.close()


def _servicers(parts: Parts, redis: Redis, settings: Settings) -> list[Servicer]:
    db = parts.db
    throttle = Throttle(redis, settings.service_secret.get_secret_value().encode())
    images = Images()
    return [
        servicer(
            "scrip.promos.v1.BrandService",
            brand_pb2_grpc.add_BrandServiceServicer_to_server,
            BrandHandlers(db, images),
        ),
        servicer(
            "scrip.promos.v1.StoreService",
            store_pb2_grpc.add_StoreServiceServicer_to_server,
            StoreHandlers(db, images),
        ),
        servicer(
            "scrip.promos.v1.CodeService",
            code_pb2_grpc.add_CodeServiceServicer_to_server,
            CodeHandlers(db, throttle, wrong_codes_per_minute=settings.wrong_codes_per_minute),
            RedemptionHandlers(db),
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
            "scrip.promos.v1.WebhookService",
            webhook_pb2_grpc.add_WebhookServiceServicer_to_server,
            WebhookHandlers(db, parts.sealer, settings.webhook_networks),
            DeliveryHandlers(db),
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
