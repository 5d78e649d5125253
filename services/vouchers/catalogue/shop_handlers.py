"""ShopService: what members can get."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import UUID

from scrip.vouchers.v1 import shop_pb2

from services.common.db import Database
from services.common.encoding import Context
from services.common.errors import DomainError, unavailable
from services.common.paging import Page
from services.vouchers.catalogue import encoding, queries
from services.vouchers.catalogue.quantity import Quantities

_LOOK_SECONDS = 0.5
_STREAM_SECONDS = 300.0
_PUBLIC = (("cache-control", "public, max-age=5"), ("vary", "origin"))
"""Offers are the same for everybody. The edge adds the origin of a browser's page to them, so a shared cache
must not give them to a page of another origin."""


class ShopHandlers:
    """Implements ShopService."""

    def __init__(self, db: Database, quantities: Quantities, *, max_watchers: int) -> None:
        self._db = db
        self._quantities = quantities
        self._max_watchers = max_watchers
        self._watchers = 0
        self._closing = asyncio.Event()

    def close_streams(self) -> None:
        """Ends all live streams, because the service stops."""
        self._closing.set()

    async def ListOffers(
        self, request: shop_pb2.ListOffersRequest, context: Context
    ) -> shop_pb2.ListOffersResponse:
        """Returns a page of what is on sale."""
        page = Page(request.page_size, request.page_token, "offers")
        rows, next_token = await self._db.read(queries.list_offers, page)
        await context.send_initial_metadata(_PUBLIC)
        return shop_pb2.ListOffersResponse(
            offers=[encoding.offer(row) for row in rows], next_page_token=next_token
        )

    async def GetOffer(
        self, request: shop_pb2.GetOfferRequest, context: Context
    ) -> shop_pb2.GetOfferResponse:
        """Returns one offer."""
        row = await self._db.read(queries.get_offer, UUID(request.voucher_id))
        await context.send_initial_metadata(_PUBLIC)
        return shop_pb2.GetOfferResponse(offer=encoding.offer(row))

    async def WatchQuantity(
        self, request: shop_pb2.WatchQuantityRequest, context: Context
    ) -> AsyncIterator[shop_pb2.WatchQuantityResponse]:
        """The quantity left, now and at each change."""
        if self._watchers >= self._max_watchers:
            raise DomainError("TOO_MANY_WATCHERS", "too many live streams are open", retry_after=5.0)
        voucher_id = UUID(request.voucher_id)
        self._watchers += 1
        try:
            sent = await self._quantities.left(voucher_id)
            yield shop_pb2.WatchQuantityResponse(quantity_left=sent)
            until = time.monotonic() + _STREAM_SECONDS
            while time.monotonic() < until:
                if await self._closes_within(_LOOK_SECONDS):
                    raise unavailable("vouchers")  # at once, so that the app opens it elsewhere
                try:
                    left = await self._quantities.left(voucher_id)
                except DomainError as error:
                    if error.reason == "VOUCHER_NOT_FOUND":  # the offer has ended
                        return
                    raise
                if left != sent:
                    sent = left
                    yield shop_pb2.WatchQuantityResponse(quantity_left=sent)
        finally:
            self._watchers -= 1

    async def _closes_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._closing.wait()
        except TimeoutError:
            return False
