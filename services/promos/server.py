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
    code_file_pb2_grpc,
    brand_pb2_grpc,
    campaign_pb2_grpc,
    claim_pb2_grpc,
    code_pb2_grpc,
    code_set_pb2_grpc,
    discount_pb2_grpc,
    operations_pb2,
    operations_pb2_grpc,
    promo_pb2_grpc,
    reward_pb2_grpc,
    store_pb2_grpc,
    webhook_pb2_grpc,
)

from services.common import schema
from services.common.auth import KeyRing, TokenVerifier
from services.common.cache import Redis
from services.common.channels import Peers
from services.common.db import Database
from services.common.member_events import MemberEventsHandlers
from services.common.operations_handlers import OperationsHandlers
from services.common.server import Service, Servicer, run_server, servicer
from services.common.sessions import SessionCache, SessionGate
from services.common.throttle import Throttle
from services.common.watching import Watchers
from services.promos.baskets.handlers import BasketHandlers
from services.promos.baskets.purchases import Purchases
from services.promos.baskets.quotes import Quotes
from services.promos.brands.handlers import BrandHandlers
from services.promos.brands.images import Images
from services.promos.brands.store_handlers import StoreHandlers
from services.promos.campaigns.first_logins import on_member_event
from services.promos.campaigns.handlers import CampaignHandlers
from services.promos.campaigns.internal_handlers import UsableRewardHandlers
from services.promos.campaigns.public_handlers import PublicCampaignHandlers
from services.promos.campaigns.reward_handlers import RewardHandlers
from services.promos.code_files.handlers import CodeFileHandlers
from services.promos.code_files.import_handlers import CodeImportHandlers
from services.promos.code_files.sheet_handlers import SheetHandlers
from services.promos.codes.guesses import Guesses
from services.promos.campaigns.winner_handlers import WinnerHandlers
from services.promos.claims import member_events as claims_events
from services.promos.claims.claimer import Claimer
from services.promos.claims.contacts import Contacts
from services.promos.claims.discount_handlers import DiscountHandlers
from services.promos.claims.handlers import ClaimHandlers
from services.promos.codes.handlers import CodeHandlers
from services.promos.codes.order_handlers import OrderCodesHandlers
from services.promos.codes.redeemer import Redeemer
from services.promos.codes.redemption_handlers import RedemptionHandlers
from services.promos.codes.set_handlers import CodeSetHandlers
from services.promos.parts import build
from services.promos.promo_points.handlers import PromoHandlers
from services.promos.promo_points.my_handlers import MyPromoHandlers
from services.promos.settings import Settings
from services.promos.shown_members import ShownMembers
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
        code_sets = CodeSetHandlers(parts.db, settings.currency)
        contacts = Contacts(parts.db, parts.peers)
        claimer = Claimer(parts.db, contacts)
        claims = ClaimHandlers(parts.db, claimer, contacts)
        try:
            yield Service(
                _servicers(parts.db, redis, parts.peers, settings),
                [*_servicers(parts.db, redis, settings), _code_sets(code_sets)],
        throttle = Throttle(redis, settings.service_secret.get_secret_value().encode())
        guesses = Guesses(
            throttle, per_member=settings.wrong_codes_per_minute, per_till=settings.wrong_codes_per_till
        )
        members = ShownMembers(parts.peers)
        redeemer = Redeemer(parts.db, guesses, members)
        order_codes = OrderCodesHandlers(parts.db, settings.currency)
        quotes = Quotes(parts.db, guesses, Purchases(parts.peers))
        try:
            yield Service(
                _servicers(
                    parts.db,
                    settings,
                    guesses=guesses,
                    members=members,
                    redeemer=redeemer,
                    order_codes=order_codes,
                ),
        code_sets = CodeSetHandlers(parts.db, settings.currency)
        try:
            yield Service(
                [
                    *_servicers(parts.db, settings, guesses, members, redeemer),
                    _code_sets(code_sets),
                    _code_files(parts.db, throttle),
                ],
        watchers = Watchers("promos", settings.max_watchers)
        try:
            yield Service(
                _servicers(parts.db, redis, watchers, settings),
                    quotes=quotes,
                ),
                [
                    *_servicers(parts, redis, settings),
                    _code_sets(code_sets),
                    *_claims(claims, DiscountHandlers(parts.db, settings.currency)),
                ],
                TokenVerifier(keys),
                SessionGate(SessionCache(redis), parts.peers.check_session),
                checks=[schema.at_head("promos", parts.db), keys.known],
                loops=[keys.keep_fresh],
                drains=[claimer.drain, contacts.drain],
                on_stop=[code_sets.close_streams],
                drains=[redeemer.drain, order_codes.drain],
                drains=[redeemer.drain],
                on_stop=[watchers.close],
            )
        finally:
            await redis.close()


def _servicers(db: Database, redis: Redis, peers: Peers, settings: Settings) -> list[Servicer]:
def _servicers(db: Database, redis: Redis, watchers: Watchers, settings: Settings) -> list[Servicer]:
    throttle = Throttle(redis, settings.service_secret.get_secret_value().encode())
def _servicers(
    db: Database,
    settings: Settings,
    *,
    guesses: Guesses,
    members: ShownMembers,
    redeemer: Redeemer,
    order_codes: OrderCodesHandlers,
    quotes: Quotes,
) -> list[Servicer]:
    return [
        servicer(
            "scrip.promos.v1.BasketService",
            basket_pb2_grpc.add_BasketServiceServicer_to_server,
            BasketHandlers(db, quotes, members, settings.currency),
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
            CodeHandlers(db, guesses, members, redeemer),
            RedemptionHandlers(db, cancel_days=settings.redemption_cancel_days),
        ),
        servicer(
            "scrip.promos.v1.CampaignService",
            campaign_pb2_grpc.add_CampaignServiceServicer_to_server,
            CampaignHandlers(db, settings.currency),
            WinnerHandlers(db),
            PublicCampaignHandlers(db, watchers),
        ),
        servicer(
            "scrip.promos.v1.RewardService",
            reward_pb2_grpc.add_RewardServiceServicer_to_server,
            RewardHandlers(db),
        ),
        servicer(
            "scrip.promos.v1.PromoService",
            promo_pb2_grpc.add_PromoServiceServicer_to_server,
            PromoHandlers(db, ShownMembers(peers)),
        ),
        servicer(
            "scrip.promos.v1.MyPromoService",
            promo_pb2_grpc.add_MyPromoServiceServicer_to_server,
            MyPromoHandlers(db),
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
            order_codes,
            UsableRewardHandlers(db),
        ),
        servicer(
            "scrip.common.internal.v1.MemberEventsService",
            member_events_pb2_grpc.add_MemberEventsServiceServicer_to_server,
            MemberEventsHandlers(
                db, [on_member_event, claims_events.on_member_event], at_once=_EVENTS_AT_ONCE
            ),
        ),
    ]


def _code_sets(handlers: CodeSetHandlers) -> Servicer:
    return servicer(
        "scrip.promos.v1.CodeSetService", code_set_pb2_grpc.add_CodeSetServiceServicer_to_server, handlers
    )


def _code_files(db: Database, throttle: Throttle) -> Servicer:
    return servicer(
        "scrip.promos.v1.CodeFileService",
        code_file_pb2_grpc.add_CodeFileServiceServicer_to_server,
        CodeFileHandlers(db),
        CodeImportHandlers(db, throttle),
        SheetHandlers(db),
    )
def _claims(claims: ClaimHandlers, discounts: DiscountHandlers) -> list[Servicer]:
    return [
        servicer(
            "scrip.promos.v1.DiscountService",
            discount_pb2_grpc.add_DiscountServiceServicer_to_server,
            discounts,
        ),
        servicer("scrip.promos.v1.ClaimService", claim_pb2_grpc.add_ClaimServiceServicer_to_server, claims),
    ]


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serves until `stop` is set."""
    async with compose(settings) as service:
        await run_server(service, settings, stop)
