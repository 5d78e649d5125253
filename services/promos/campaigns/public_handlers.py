"""CampaignService: what everybody sees of campaigns, and their places as they go."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from functools import partial
from uuid import UUID

from google.api import httpbody_pb2
from scrip.promos.v1 import campaign_pb2

from services.common.db import Database
from services.common.encoding import Context
from services.common.errors import DomainError
from services.common.live_streams import LiveStreams
from services.common.paging import Page
from services.common.server_sent_events import as_events, event_id
from services.promos.campaigns.encoding import encode_running
from services.promos.campaigns.places_left import PlacesLeft
from services.promos.campaigns.queries import CAMPAIGN_LIST


class PublicCampaignHandlers:
    """Implements ListRunningCampaigns, WatchPlaces and WatchPlacesEvents."""

    def __init__(self, db: Database, *, max_watchers: int) -> None:
        self._db = db
        self._places = PlacesLeft(db)
        self._streams = LiveStreams("promos", most=max_watchers)

    def close_streams(self) -> None:
        """Ends all live streams, because the service stops."""
        self._streams.close()

    async def ListRunningCampaigns(
        self, request: campaign_pb2.ListRunningCampaignsRequest, context: Context
    ) -> campaign_pb2.ListRunningCampaignsResponse:
        """Returns a page of the campaigns that give places."""
        page = Page(request.page_size, request.page_token, "running campaigns")
        rows, next_token = await self._db.read(CAMPAIGN_LIST.page, page, state="RUNNING")
        return campaign_pb2.ListRunningCampaignsResponse(
            campaigns=map(encode_running, rows), next_page_token=next_token
        )

    async def WatchPlaces(
        self, request: campaign_pb2.WatchPlacesRequest, context: Context
    ) -> AsyncIterator[campaign_pb2.WatchPlacesResponse]:
        """The places left, now and at each change; the stream ends with the campaign or its last place."""
        async with aclosing(self._watch(UUID(request.campaign_id))) as changes:
            async for left in changes:
                if left is not None:
                    yield campaign_pb2.WatchPlacesResponse(places_left=left)

    async def WatchPlacesEvents(
        self, request: campaign_pb2.WatchPlacesEventsRequest, context: Context
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        """The same as server-sent events."""
        changes = (
            None if left is None else (event_id(), {"places_left": left})
            async for left in self._watch(UUID(request.campaign_id))
        )
        async for event in as_events(context, changes):
            yield event

    async def _watch(self, campaign_id: UUID) -> AsyncGenerator[int | None]:
        """Yields the places left, now and at each change; None after 15 s without one."""
        began = False
        async with self._streams.open() as stream:
            changes = stream.changes(partial(self._places.of, campaign_id), is_last=lambda left: left == 0)
            try:
                async for left in changes:
                    began = True
                    yield left
            except DomainError as error:
                # Once it has begun: it was paused, or its window is over.
                if not began or error.reason != "CAMPAIGN_NOT_FOUND":
                    raise
