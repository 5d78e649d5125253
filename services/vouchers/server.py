"""Serves vouchers: every feature is built here and passed in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from scrip.common.internal.v1 import member_events_pb2_grpc
from scrip.vouchers.internal.v1 import vouchers_pb2_grpc
from scrip.vouchers.v1 import (
    catalogue_pb2_grpc,
    gift_pb2_grpc,
    image_pb2_grpc,
    operations_pb2,
    operations_pb2_grpc,
    order_pb2_grpc,
    payment_method_pb2_grpc,
    payment_pb2_grpc,
    shop_pb2_grpc,
    wallet_pb2_grpc,
)

from services.common import schema
from services.common.auth import KeyRing, TokenVerifier
from services.common.images import Images
from services.common.member_events import MemberEventsHandlers
from services.common.operations_handlers import OperationsHandlers
from services.common.server import Service, Servicer, run_server, servicer
from services.common.sessions import SessionCache, SessionGate
from services.vouchers.catalogue.balances import Balances
from services.vouchers.catalogue.handlers import CatalogueHandlers
from services.vouchers.catalogue.quantity import Quantities
from services.vouchers.catalogue.shop_handlers import ShopHandlers
from services.vouchers.gifts.commands import on_member_event as gift_events
from services.vouchers.gifts.given_handlers import GivenGiftHandlers
from services.vouchers.gifts.handlers import GiftHandlers
from services.vouchers.images.handlers import ImageHandlers
from services.vouchers.orders.ending_handlers import EndingHandlers
from services.vouchers.orders.handlers import OrderHandlers
from services.vouchers.orders.requests import OrderRequests
from services.vouchers.orders.staff_handlers import StaffOrderHandlers
from services.vouchers.parts import Parts, build
from services.vouchers.payments.handlers import PaymentMethodHandlers
from services.vouchers.payments.payment_handlers import PaymentHandlers, SandboxPaymentHandlers
from services.vouchers.quotes.handlers import QuoteHandlers
from services.vouchers.settings import Settings
from services.vouchers.wallet.code_copies import CodeCopies
from services.vouchers.wallet.codes_client import CodesReader
from services.vouchers.wallet.handlers import WalletHandlers
from services.vouchers.wallet.internal_handlers import WalletInternalHandlers


@asynccontextmanager
async def compose(settings: Settings) -> AsyncIterator[Service]:
    """Builds the service."""
    async with build(settings) as parts:
        keys = KeyRing(parts.peers.fetch_jwks)
        balances = Balances(parts.peers.points, parts.peers.token)
        quantities = Quantities(parts.db, parts.changes)
        shop = ShopHandlers(parts.db, quantities, balances, max_watchers=settings.max_watchers)
        yield Service(
            [*_servicers(parts, shop, settings), *_payment_servicers(parts, settings)],
            TokenVerifier(keys),
            SessionGate(SessionCache(parts.redis), parts.peers.check_session),
            checks=[schema.at_head("vouchers", parts.db), keys.known],
            loops=[keys.keep_fresh, quantities.listen, quantities.look],
            on_stop=[shop.close_streams],
            drains=[parts.placing.drain, parts.saga.drain],
        )


def _servicers(parts: Parts, shop: ShopHandlers, settings: Settings) -> list[Servicer]:
    codes = CodeCopies(parts.db, CodesReader(parts.peers.promos, parts.peers.token))
    requests = OrderRequests(
        parts.db,
        parts.pricing,
        parts.payments,
        parts.recipients,
        currency=settings.currency,
        pay_seconds=settings.payment_wait_seconds,
    )
    return [
        servicer(
            "scrip.vouchers.v1.CatalogueService",
            catalogue_pb2_grpc.add_CatalogueServiceServicer_to_server,
            CatalogueHandlers(parts.db, parts.changes, settings.currency, codes_ahead=settings.codes_ahead),
        ),
        servicer("scrip.vouchers.v1.ShopService", shop_pb2_grpc.add_ShopServiceServicer_to_server, shop),
        servicer(
            "scrip.vouchers.v1.ImageService",
            image_pb2_grpc.add_ImageServiceServicer_to_server,
            ImageHandlers(parts.db, Images(), parts.storage),
        ),
        servicer(
            "scrip.vouchers.v1.OrderService",
            order_pb2_grpc.add_OrderServiceServicer_to_server,
            OrderHandlers(
                parts.db, requests, parts.placing, parts.saga, wait_seconds=settings.order_wait_seconds
            ),
            EndingHandlers(
                parts.db,
                parts.saga,
                lease_seconds=settings.order_lease_seconds,
                wait_seconds=settings.order_wait_seconds,
            ),
            StaffOrderHandlers(parts.db),
            QuoteHandlers(parts.pricing),
        ),
        servicer(
            "scrip.vouchers.v1.WalletService",
            wallet_pb2_grpc.add_WalletServiceServicer_to_server,
            WalletHandlers(parts.db, codes),
        ),
        servicer(
            "scrip.vouchers.v1.GiftService",
            gift_pb2_grpc.add_GiftServiceServicer_to_server,
            GiftHandlers(parts.db, parts.gifts, parts.recipients),
            GivenGiftHandlers(
                parts.db, parts.gifts, parts.recipients, lasts=timedelta(days=settings.gift_days)
            ),
        ),
        servicer(
            "scrip.vouchers.internal.v1.VouchersInternalService",
            vouchers_pb2_grpc.add_VouchersInternalServiceServicer_to_server,
            WalletInternalHandlers(parts.db, codes),
        ),
        servicer(
            "scrip.vouchers.v1.VouchersOperationsService",
            operations_pb2_grpc.add_VouchersOperationsServiceServicer_to_server,
            OperationsHandlers(parts.db, operations_pb2),
        ),
        servicer(
            "scrip.common.internal.v1.MemberEventsService",
            member_events_pb2_grpc.add_MemberEventsServiceServicer_to_server,
            MemberEventsHandlers(parts.db, [gift_events]),
        ),
    ]


def _payment_servicers(parts: Parts, settings: Settings) -> list[Servicer]:
    return [
        servicer(
            "scrip.vouchers.v1.PaymentMethodService",
            payment_method_pb2_grpc.add_PaymentMethodServiceServicer_to_server,
            PaymentMethodHandlers(parts.db, parts.payments.providers, settings.currency),
        ),
        servicer(
            "scrip.vouchers.v1.PaymentService",
            payment_pb2_grpc.add_PaymentServiceServicer_to_server,
            PaymentHandlers(parts.db, parts.payments),
        ),
        servicer(
            "scrip.vouchers.v1.SandboxPaymentService",
            payment_pb2_grpc.add_SandboxPaymentServiceServicer_to_server,
            SandboxPaymentHandlers(parts.sandbox),
        ),
    ]


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serves until `stop` is set."""
    async with compose(settings) as service:
        await run_server(service, settings, stop)
