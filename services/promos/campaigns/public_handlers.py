"""CampaignService: what everybody sees of campaigns, and their places as they go."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

from scrip.promos.v1 import campaign_pb2

from services.common.db import Database
from services.common.encoding import Context
from services.common.errors import DomainError
from services.common.live_streams import LiveStreams
from services.common.paging import Page
from services.promos.campaigns.encoding import encode_running
from services.promos.campaigns.places_left import PlacesLeft
from services.promos.campaigns.queries import CAMPAIGN_LIST


class PublicCampaignHandlers:
    """Implements ListRunningCampaigns and WatchPlaces."""

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
        campaign_id = UUID(request.campaign_id)
        async with self._streams.open() as stream:
            sent = await self._places.of(campaign_id)
            yield campaign_pb2.WatchPlacesResponse(places_left=sent)
            while sent and await stream.goes_on():
                try:
                    left = await self._places.of(campaign_id)
                except DomainError as error:
                    if error.reason == "CAMPAIGN_NOT_FOUND":  # it was paused, or its window is over
                        return
                    raise
                if left != sent:
                    sent = left
                    yield campaign_pb2.WatchPlacesResponse(places_left=sent)
