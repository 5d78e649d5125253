"""CampaignService: what everybody sees of campaigns, and their places as they go."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from uuid import UUID

from scrip.promos.v1 import campaign_pb2

from services.common.db import Database
from services.common.encoding import Context
from services.common.paging import Page
from services.common.watching import Watchers
from services.promos.campaigns.encoding import encode_running
from services.promos.campaigns.places_left import PlacesLeft
from services.promos.campaigns.queries import CAMPAIGN_LIST

_PUBLIC = (("cache-control", "public, max-age=5"), ("vary", "origin"))
"""The same for everybody; the edge adds the origin of a browser's page, as it does to offers."""


class PublicCampaignHandlers:
    """Implements ListRunningCampaigns and WatchPlaces."""

    def __init__(self, db: Database, watchers: Watchers) -> None:
        self._db = db
        self._places = PlacesLeft(db)
        self._watchers = watchers

    async def ListRunningCampaigns(
        self, request: campaign_pb2.ListRunningCampaignsRequest, context: Context
    ) -> campaign_pb2.ListRunningCampaignsResponse:
        """Returns a page of the campaigns that give places."""
        page = Page(request.page_size, request.page_token, "running campaigns")
        rows, next_token = await self._db.read(CAMPAIGN_LIST.page, page, state="RUNNING")
        await context.send_initial_metadata(_PUBLIC)
        return campaign_pb2.ListRunningCampaignsResponse(
            campaigns=map(encode_running, rows), next_page_token=next_token
        )

    async def WatchPlaces(
        self, request: campaign_pb2.WatchPlacesRequest, context: Context
    ) -> AsyncIterator[campaign_pb2.WatchPlacesResponse]:
        """The places left, now and at each change; the stream ends with the campaign or its last place."""
        look = partial(self._places.of, UUID(request.campaign_id))
        async with aclosing(self._watchers.watch(look, over="CAMPAIGN_NOT_FOUND")) as changes:
            async for left in changes:
                yield campaign_pb2.WatchPlacesResponse(places_left=left)
                if left == 0:
                    return
