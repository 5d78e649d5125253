"""ShopService: what members can get."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from uuid import UUID

from scrip.vouchers.v1 import shop_pb2

from services.common.db import Database
from services.common.encoding import Context
from services.common.paging import Page
from services.common.watching import Watchers
from services.vouchers.catalogue import encoding, queries
from services.vouchers.catalogue.quantity import Quantities

_PUBLIC = (("cache-control", "public, max-age=5"), ("vary", "origin"))
"""Offers are the same for everybody. The edge adds the origin of a browser's page to them, so a shared cache
must not give them to a page of another origin."""


class ShopHandlers:
    """Implements ShopService."""

    def __init__(self, db: Database, quantities: Quantities, watchers: Watchers) -> None:
        self._db = db
        self._quantities = quantities
        self._watchers = watchers

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
        """The quantity left, now and at each change; the stream ends when the offer does."""
        left = partial(self._quantities.left, UUID(request.voucher_id))
        async with aclosing(self._watchers.watch(left, over="VOUCHER_NOT_FOUND")) as quantities:
            async for quantity in quantities:
                yield shop_pb2.WatchQuantityResponse(quantity_left=quantity)
