"""ShopService: what members can get."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

from google.api import httpbody_pb2
from scrip.vouchers.v1 import shop_pb2

from services.common import server_sent_events
from services.common.batching import Batcher
from services.common.caller import caller
from services.common.db import Database
from services.common.encoding import Context
from services.common.errors import DomainError
from services.common.list_pages import read_page
from services.common.live_streams import LiveStreams
from services.common.server_sent_events import as_events
from services.vouchers.catalogue import encoding, queries
from services.vouchers.catalogue.balances import Balances
from services.vouchers.catalogue.exchange import EXCHANGE_LIST, affordable, ordered_by
from services.vouchers.catalogue.quantity import Left, Quantities
from services.vouchers.catalogue.queries import VoucherRow
from services.vouchers.catalogue.recent_replies import RecentReplies
from services.vouchers.catalogue.search import search_filter


class ShopHandlers:
    """Implements ShopService."""

    def __init__(
        self, db: Database, quantities: Quantities, balances: Balances, *, max_watchers: int
    ) -> None:
        self._db = db
        self._quantities = quantities
        self._balances = balances
        self._recent = RecentReplies()
        self._offers: Batcher[UUID, VoucherRow] = Batcher("offers", self._read_offers)
        self._streams = LiveStreams("vouchers", most=max_watchers)

    def close_streams(self) -> None:
        """Ends all live streams, because the service stops."""
        self._streams.close()

    async def ListOffers(
        self, request: shop_pb2.ListOffersRequest, context: Context
    ) -> shop_pb2.ListOffersResponse:
        """Returns a page of what is on sale, a second old at most."""

        async def read() -> shop_pb2.ListOffersResponse:
            wanted = encoding.wanted_offers(request)
            page = await read_page(
                self._db,
                queries.OFFER_LIST,
                request,
                order_by=request.order_by,
                asked=(request.query, sorted(wanted.items())),
                **wanted | await self._db.read(search_filter, request.query),
            )
            return shop_pb2.ListOffersResponse(
                offers=map(encoding.offer, page.rows), next_page_token=page.next_page_token, total=page.total
            )

        return await self._recent.of(request, read)

    async def GetOffer(
        self, request: shop_pb2.GetOfferRequest, context: Context
    ) -> shop_pb2.GetOfferResponse:
        """Returns one offer, a second old at most."""

        async def read() -> shop_pb2.GetOfferResponse:
            row = await self._offers.submit(UUID(request.voucher_id))
            return shop_pb2.GetOfferResponse(offer=encoding.offer(row))

        return await self._recent.of(request, read)

    async def _read_offers(self, voucher_ids: list[UUID]) -> list[VoucherRow | DomainError]:
        return await self._db.read(queries.get_offers, voucher_ids)

    async def ListMyExchangeOffers(
        self, request: shop_pb2.ListMyExchangeOffersRequest, context: Context
    ) -> shop_pb2.ListMyExchangeOffersResponse:
        """Returns a page of what the caller can get for points."""
        member_id = caller().id
        balance = await self._balances.of(member_id)
        affordable_only = {"balance": balance, "member_id": member_id} if request.affordable_only else {}
        page = await read_page(
            self._db,
            EXCHANGE_LIST,
            request,
            order_by=request.order_by,
            asked=request.affordable_only,  # the balance may differ on the next page
            on_sale=True,
            for_points=True,
            **affordable_only,
        )
        limited = [row.id for row in page.rows if row.max_per_member]
        ordered = await self._db.read(ordered_by, member_id, limited) if limited else {}
        return shop_pb2.ListMyExchangeOffersResponse(
            offers=[
                shop_pb2.ExchangeOffer(
                    offer=encoding.offer(row),
                    affordable_quantity=affordable(row, balance=balance, ordered=ordered.get(row.id, 0)),
                )
                for row in page.rows
            ],
            next_page_token=page.next_page_token,
            total=page.total,
            balance=balance,
        )

    async def WatchQuantity(
        self, request: shop_pb2.WatchQuantityRequest, context: Context
    ) -> AsyncIterator[shop_pb2.WatchQuantityResponse]:
        """The quantity left, now and at each change."""
        async for left in self._watch(UUID(request.voucher_id)):
            if left:
                yield shop_pb2.WatchQuantityResponse(quantity_left=left.quantity)

    async def WatchQuantityEvents(
        self, request: shop_pb2.WatchQuantityEventsRequest, context: Context
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        """The same as server-sent events."""
        changes = (
            None if left is None else (left.read_at, {"quantity_left": left.quantity})
            async for left in self._watch(UUID(request.voucher_id))
        )
        async for event in as_events(context, changes):
            yield event

    async def _watch(self, voucher_id: UUID) -> AsyncIterator[Left | None]:
        """Yields what is left, now and at each change, until the sale ends; None after 15 s without one."""
        async with self._streams.open() as stream, self._quantities.watch(voucher_id, stream) as watched:
            sent: Left | None = None
            while left := watched.left:
                yield None if left is sent else left
                sent = left
                if not await stream.goes_on(server_sent_events.HEARTBEAT_SECONDS):
                    return
