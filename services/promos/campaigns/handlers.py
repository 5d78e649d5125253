"""CampaignService: what staff do with campaigns."""

from __future__ import annotations

from uuid import UUID

from scrip.promos.v1 import campaign_pb2

from services.common.caller import caller
from services.common.db import Connection, Database
from services.common.encoding import Context
from services.common.idempotent import idempotent
from services.common.list_pages import read_page
from services.promos.campaigns import queries
from services.promos.campaigns.commands import change_campaign_state, create_campaign, update_campaign
from services.promos.campaigns.encoding import changes, encode_campaign, new_campaign, state_filter
from services.promos.campaigns.queries import CAMPAIGN_LIST, Switch

_Change = (
    campaign_pb2.PauseCampaignRequest | campaign_pb2.ResumeCampaignRequest | campaign_pb2.EndCampaignRequest
)


class CampaignHandlers:
    """Implements what CampaignService has for staff, but for winners."""

    def __init__(self, db: Database, currency_code: str) -> None:
        self._db = db
        self._currency_code = currency_code

    async def CreateCampaign(
        self, request: campaign_pb2.CreateCampaignRequest, context: Context
    ) -> campaign_pb2.CreateCampaignResponse:
        """Makes a campaign, once per key when there is one."""
        actor, new = caller(), new_campaign(request, self._currency_code)

        async def create(connection: Connection) -> campaign_pb2.CreateCampaignResponse:
            row = await create_campaign(connection, actor=actor, new=new)
            return campaign_pb2.CreateCampaignResponse(campaign=encode_campaign(row))

        reply = campaign_pb2.CreateCampaignResponse
        return await idempotent(self._db, context, request, reply, create, required=False)

    async def GetCampaign(
        self, request: campaign_pb2.GetCampaignRequest, context: Context
    ) -> campaign_pb2.GetCampaignResponse:
        """Returns one campaign."""
        row = await self._db.read(queries.get_campaign, UUID(request.campaign_id))
        return campaign_pb2.GetCampaignResponse(campaign=encode_campaign(row))

    async def ListCampaigns(
        self, request: campaign_pb2.ListCampaignsRequest, context: Context
    ) -> campaign_pb2.ListCampaignsResponse:
        """Returns a page of campaigns."""
        page = await read_page(
            self._db,
            CAMPAIGN_LIST,
            request,
            order_by=request.order_by,
            state=state_filter(request.state),
            query=request.query or None,
        )
        return campaign_pb2.ListCampaignsResponse(
            campaigns=map(encode_campaign, page.rows), next_page_token=page.next_page_token, total=page.total
        )

    async def UpdateCampaign(
        self, request: campaign_pb2.UpdateCampaignRequest, context: Context
    ) -> campaign_pb2.UpdateCampaignResponse:
        """Changes what is given, empties what is named."""
        row = await self._db.run(
            update_campaign,
            actor=caller(),
            campaign_id=UUID(request.campaign_id),
            etag=request.etag,
            changes=changes(request),
        )
        return campaign_pb2.UpdateCampaignResponse(campaign=encode_campaign(row))

    async def PauseCampaign(
        self, request: campaign_pb2.PauseCampaignRequest, context: Context
    ) -> campaign_pb2.PauseCampaignResponse:
        """Stops giving places for now."""
        campaign = await self._change(request, "PAUSED")
        return campaign_pb2.PauseCampaignResponse(campaign=campaign)

    async def ResumeCampaign(
        self, request: campaign_pb2.ResumeCampaignRequest, context: Context
    ) -> campaign_pb2.ResumeCampaignResponse:
        """Goes on giving places."""
        campaign = await self._change(request, "ACTIVE")
        return campaign_pb2.ResumeCampaignResponse(campaign=campaign)

    async def EndCampaign(
        self, request: campaign_pb2.EndCampaignRequest, context: Context
    ) -> campaign_pb2.EndCampaignResponse:
        """Stops giving places for good."""
        campaign = await self._change(request, "ENDED")
        return campaign_pb2.EndCampaignResponse(campaign=campaign)

    async def _change(self, request: _Change, switch: Switch) -> campaign_pb2.Campaign:
        row = await self._db.run(
            change_campaign_state,
            actor=caller(),
            campaign_id=UUID(request.campaign_id),
            etag=request.etag,
            switch=switch,
        )
        return encode_campaign(row)
