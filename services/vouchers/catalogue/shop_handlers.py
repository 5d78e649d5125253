"""ShopService: what members can get."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

from scrip.vouchers.v1 import shop_pb2

from services.common.db import Database
from services.common.encoding import Context
from services.common.errors import DomainError
from services.common.live_streams import LiveStreams
from services.common.paging import Page
from services.vouchers.catalogue import encoding, queries
from services.vouchers.catalogue.quantity import Quantities

_PUBLIC = (("cache-control", "public, max-age=5"), ("vary", "origin"))
"""Offers are the same for everybody. The edge adds the origin of a browser's page to them, so a shared cache
must not give them to a page of another origin."""


class ShopHandlers:
    """Implements ShopService."""

    def __init__(self, db: Database, quantities: Quantities, *, max_watchers: int) -> None:
        self._db = db
        self._quantities = quantities
        self._streams = LiveStreams("vouchers", most=max_watchers)

    def close_streams(self) -> None:
        """Ends all live streams, because the service stops."""
        self._streams.close()

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
        voucher_id = UUID(request.voucher_id)
        async with self._streams.open() as stream:
            sent = await self._quantities.left(voucher_id)
            yield shop_pb2.WatchQuantityResponse(quantity_left=sent)
            while await stream.goes_on():
                try:
                    left = await self._quantities.left(voucher_id)
                except DomainError as error:
                    if error.reason == "VOUCHER_NOT_FOUND":  # the offer has ended
                        return
                    raise
                if left != sent:
                    sent = left
                    yield shop_pb2.WatchQuantityResponse(quantity_left=sent)
