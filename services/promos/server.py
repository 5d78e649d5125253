"""Serves promos: every feature is built here and passed in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from scrip.common.internal.v1 import member_events_pb2_grpc
from scrip.promos.internal.v1 import promos_pb2_grpc
from scrip.promos.v1 import (
    basket_pb2_grpc,
    brand_pb2_grpc,
    campaign_pb2_grpc,
    claim_pb2_grpc,
    code_file_pb2_grpc,
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
from services.common.images import Images
from services.common.member_events import MemberEventsHandlers
from services.common.operations_handlers import OperationsHandlers
from services.common.server import Service, Servicer, run_server, servicer
from services.common.sessions import SessionCache, SessionGate
from services.common.throttle import Throttle
from services.promos.baskets.handlers import BasketHandlers
from services.promos.baskets.order_handlers import OrderPromoCodeHandlers
from services.promos.baskets.purchases import Purchases
from services.promos.baskets.quotes import Quotes
from services.promos.brands.handlers import BrandHandlers
from services.promos.brands.internal_handlers import BrandCheckHandlers
from services.promos.brands.store_handlers import StoreHandlers
from services.promos.campaigns import first_logins
from services.promos.campaigns.handlers import CampaignHandlers
from services.promos.campaigns.internal_handlers import UsableRewardHandlers
from services.promos.campaigns.public_handlers import PublicCampaignHandlers
from services.promos.campaigns.reward_handlers import RewardHandlers
from services.promos.campaigns.winner_handlers import WinnerHandlers
from services.promos.claims import member_events as claims_events
from services.promos.claims.claimer import Claimer
from services.promos.claims.contacts import Contacts
from services.promos.claims.discount_handlers import DiscountHandlers
from services.promos.claims.handlers import ClaimHandlers
from services.promos.claims.internal_handlers import UsableClaimHandlers
from services.promos.code_files.handlers import CodeFileHandlers
from services.promos.code_files.import_handlers import CodeImportHandlers
from services.promos.code_files.sheet_handlers import SheetHandlers
from services.promos.codes.brand_redemption_handlers import BrandRedemptionHandlers
from services.promos.codes.guesses import Guesses
from services.promos.codes.handlers import CodeHandlers
from services.promos.codes.order_handlers import OrderCodesHandlers
from services.promos.codes.redeemer import Redeemer
from services.promos.codes.redemption_handlers import RedemptionHandlers
from services.promos.codes.set_handlers import CodeSetHandlers
from services.promos.parts import Parts, build
from services.promos.promo_points.handlers import PromoHandlers
from services.promos.promo_points.internal_handlers import UsablePromoHandlers
from services.promos.promo_points.my_handlers import MyPromoHandlers
from services.promos.promo_points.new_members import NewMembers
from services.promos.settings import Settings
from services.promos.shown_members import ShownMembers
from services.promos.webhooks.handlers import DeliveryHandlers, WebhookHandlers

_EVENTS_AT_ONCE = 4
"""First logins meet at a campaign's row; more at once would only hold connections waiting for it."""


@dataclass(frozen=True)
class _Shared:
    """What the features of a process share."""

    parts: Parts
    settings: Settings
    throttle: Throttle
    guesses: Guesses
    members: ShownMembers
    code_sets: CodeSetHandlers
    places: PublicCampaignHandlers
    redeemer: Redeemer
    order_codes: OrderCodesHandlers
    quotes: Quotes
    contacts: Contacts
    claimer: Claimer


def _share(parts: Parts, settings: Settings, redis: Redis) -> _Shared:
    throttle = Throttle(redis, settings.service_secret.get_secret_value().encode())
    guesses = Guesses(
        throttle, per_member=settings.wrong_codes_per_minute, per_till=settings.wrong_codes_per_till
    )
    members, contacts = ShownMembers(parts.peers), Contacts(parts.db, parts.peers)
    return _Shared(
        parts,
        settings,
        throttle,
        guesses,
        members,
        CodeSetHandlers(parts.db, settings.currency, most_watchers=settings.max_watchers),
        PublicCampaignHandlers(parts.db, max_watchers=settings.max_watchers),
        Redeemer(parts.db, guesses, members),
        OrderCodesHandlers(parts.db, settings.currency),
        Quotes(parts.db, guesses, Purchases(parts.peers)),
        contacts,
        Claimer(parts.db, contacts),
    )


@asynccontextmanager
async def compose(settings: Settings) -> AsyncIterator[Service]:
    """Builds the service."""
    async with build(settings) as parts:
        redis = Redis(settings.redis_url, settings.redis_seconds)
        keys = KeyRing(parts.peers.fetch_jwks)
        shared = _share(parts, settings, redis)
        try:
            yield Service(
                [*_codes(shared), *_gifts(shared), *_brands(shared), *_inside(shared)],
                TokenVerifier(keys),
                SessionGate(SessionCache(redis), parts.peers.check_session),
                checks=[schema.at_head("promos", parts.db), keys.known],
                loops=[keys.keep_fresh],
                drains=[
                    shared.members.drain,
                    shared.redeemer.drain,
                    shared.order_codes.drain,
                    shared.quotes.drain,
                    shared.claimer.drain,
                    shared.contacts.drain,
                ],
                on_stop=[shared.code_sets.close_streams, shared.places.close_streams],
            )
        finally:
            await redis.close()


def _codes(shared: _Shared) -> list[Servicer]:
    """Returns what codes are: sets, files, redeeming, baskets."""
    db, settings = shared.parts.db, shared.settings
    return [
        servicer(
            "scrip.promos.v1.CodeService",
            code_pb2_grpc.add_CodeServiceServicer_to_server,
            CodeHandlers(db, shared.guesses, shared.members, shared.redeemer),
            RedemptionHandlers(db, cancel_days=settings.redemption_cancel_days),
            BrandRedemptionHandlers(db),
        ),
        servicer(
            "scrip.promos.v1.CodeSetService",
            code_set_pb2_grpc.add_CodeSetServiceServicer_to_server,
            shared.code_sets,
        ),
        servicer(
            "scrip.promos.v1.CodeFileService",
            code_file_pb2_grpc.add_CodeFileServiceServicer_to_server,
            CodeFileHandlers(db),
            CodeImportHandlers(db, shared.throttle),
            SheetHandlers(db),
        ),
        servicer(
            "scrip.promos.v1.BasketService",
            basket_pb2_grpc.add_BasketServiceServicer_to_server,
            BasketHandlers(db, shared.quotes, shared.members, settings.currency),
        ),
    ]


def _gifts(shared: _Shared) -> list[Servicer]:
    """Returns what the retailer gives away: campaigns, promo points."""
    db = shared.parts.db
    return [
        servicer(
            "scrip.promos.v1.CampaignService",
            campaign_pb2_grpc.add_CampaignServiceServicer_to_server,
            CampaignHandlers(db, shared.settings.currency),
            WinnerHandlers(db),
            shared.places,
        ),
        servicer(
            "scrip.promos.v1.RewardService",
            reward_pb2_grpc.add_RewardServiceServicer_to_server,
            RewardHandlers(db),
        ),
        servicer(
            "scrip.promos.v1.PromoService",
            promo_pb2_grpc.add_PromoServiceServicer_to_server,
            PromoHandlers(db, shared.members, NewMembers(db, shared.parts.peers)),
        ),
        servicer(
            "scrip.promos.v1.MyPromoService",
            promo_pb2_grpc.add_MyPromoServiceServicer_to_server,
            MyPromoHandlers(db),
        ),
    ]


def _brands(shared: _Shared) -> list[Servicer]:
    """Returns the brands' marketplace: pages, stores, discounts, claims, webhooks."""
    parts, images = shared.parts, Images()
    return [
        servicer(
            "scrip.promos.v1.BrandService",
            brand_pb2_grpc.add_BrandServiceServicer_to_server,
            BrandHandlers(parts.db, images),
        ),
        servicer(
            "scrip.promos.v1.StoreService",
            store_pb2_grpc.add_StoreServiceServicer_to_server,
            StoreHandlers(parts.db, images),
        ),
        servicer(
            "scrip.promos.v1.DiscountService",
            discount_pb2_grpc.add_DiscountServiceServicer_to_server,
            DiscountHandlers(parts.db, shared.settings.currency),
        ),
        servicer(
            "scrip.promos.v1.ClaimService",
            claim_pb2_grpc.add_ClaimServiceServicer_to_server,
            ClaimHandlers(parts.db, shared.claimer, shared.contacts),
        ),
        servicer(
            "scrip.promos.v1.WebhookService",
            webhook_pb2_grpc.add_WebhookServiceServicer_to_server,
            WebhookHandlers(parts.db, parts.sealer, shared.settings.webhook_networks),
            DeliveryHandlers(parts.db),
        ),
    ]


def _inside(shared: _Shared) -> list[Servicer]:
    """Returns what operators and the other services call."""
    db = shared.parts.db
    on_member_event = [first_logins.on_member_event, claims_events.on_member_event]
    return [
        servicer(
            "scrip.promos.v1.PromosOperationsService",
            operations_pb2_grpc.add_PromosOperationsServiceServicer_to_server,
            OperationsHandlers(db, operations_pb2),
        ),
        servicer(
            "scrip.promos.internal.v1.PromosInternalService",
            promos_pb2_grpc.add_PromosInternalServiceServicer_to_server,
            shared.order_codes,
            OrderPromoCodeHandlers(db, shared.quotes, shared.settings.currency),
            UsableRewardHandlers(db),
            BrandCheckHandlers(db),
            UsableClaimHandlers(db),
            UsablePromoHandlers(db),
        ),
        servicer(
            "scrip.common.internal.v1.MemberEventsService",
            member_events_pb2_grpc.add_MemberEventsServiceServicer_to_server,
            MemberEventsHandlers(db, on_member_event, at_once=_EVENTS_AT_ONCE),
        ),
    ]


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serves until `stop` is set."""
    async with compose(settings) as service:
        await run_server(service, settings, stop)
