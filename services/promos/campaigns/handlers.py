"""CampaignService: what staff do with campaigns."""

from __future__ import annotations

from uuid import UUID

from scrip.promos.v1 import campaign_pb2

from services.common.caller import caller
from services.common.db import Connection, Database
from services.common.encoding import Context, moment, read_text, timestamp
from services.common.idempotent import idempotent
from services.common.list_pages import read_page
from services.common.paging import Page
from services.promos.benefit_encoding import encode_benefit, read_benefit
from services.promos.campaigns import queries
from services.promos.campaigns.commands import change_campaign_state, create_campaign
from services.promos.campaigns.queries import CAMPAIGN_LIST, CampaignRow, CampaignState

_STATE = "CAMPAIGN_STATE_"
_Change = (
    campaign_pb2.PauseCampaignRequest | campaign_pb2.ResumeCampaignRequest | campaign_pb2.EndCampaignRequest
)


class CampaignHandlers:
    """Implements CampaignService."""

    def __init__(self, db: Database, currency_code: str) -> None:
        self._db = db
        self._currency_code = currency_code

    async def CreateCampaign(
        self, request: campaign_pb2.CreateCampaignRequest, context: Context
    ) -> campaign_pb2.CreateCampaignResponse:
        """Makes a campaign, once per key when there is one."""

        async def create(connection: Connection) -> campaign_pb2.CreateCampaignResponse:
            row = await create_campaign(
                connection,
                actor=caller(),
                name=read_text(request.name, "name"),
                places=request.places,
                benefit=read_benefit(request.benefit, self._currency_code),
                starts_at=moment(request, "starts_at"),
                ends_at=moment(request, "ends_at"),
                rewards_expire_at=moment(request, "rewards_expire_at"),
            )
            return campaign_pb2.CreateCampaignResponse(campaign=_campaign(row))

        reply = campaign_pb2.CreateCampaignResponse
        return await idempotent(self._db, context, request, reply, create, required=False)

    async def GetCampaign(
        self, request: campaign_pb2.GetCampaignRequest, context: Context
    ) -> campaign_pb2.GetCampaignResponse:
        """Returns one campaign."""
        row = await self._db.read(queries.get_campaign, UUID(request.campaign_id))
        return campaign_pb2.GetCampaignResponse(campaign=_campaign(row))

    async def ListCampaigns(
        self, request: campaign_pb2.ListCampaignsRequest, context: Context
    ) -> campaign_pb2.ListCampaignsResponse:
        """Returns a page of campaigns."""
        order_by, wanted = request.order_by, _wanted(request)
        page = await read_page(self._db, CAMPAIGN_LIST, request, order_by=order_by, **wanted)
        return campaign_pb2.ListCampaignsResponse(
            campaigns=map(_campaign, page.rows), next_page_token=page.next_page_token, total=page.total
        )

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

    async def ListWinners(
        self, request: campaign_pb2.ListWinnersRequest, context: Context
    ) -> campaign_pb2.ListWinnersResponse:
        """Returns a page of winners."""
        page = Page(request.page_size, request.page_token, "winners", request.campaign_id)
        rows, next_token = await self._db.read(
            queries.list_winners, page, campaign_id=UUID(request.campaign_id)
        )
        return campaign_pb2.ListWinnersResponse(
            winners=[
                campaign_pb2.Winner(
                    rank=row.rank,
                    member_id=str(row.member_id),
                    logged_in_at=timestamp(row.logged_in_at),
                )
                for row in rows
            ],
            next_page_token=next_token,
        )

    async def _change(self, request: _Change, state: CampaignState) -> campaign_pb2.Campaign:
        row = await self._db.run(
            change_campaign_state,
            actor=caller(),
            campaign_id=UUID(request.campaign_id),
            etag=request.etag,
            state=state,
        )
        return _campaign(row)


def _wanted(request: campaign_pb2.ListCampaignsRequest) -> dict[str, object]:
    state = campaign_pb2.CampaignState.Name(request.state).removeprefix(_STATE)
    return {"state": state if request.state else None, "query": request.query or None}


def _campaign(row: CampaignRow) -> campaign_pb2.Campaign:
    return campaign_pb2.Campaign(
        id=str(row.id),
        name=row.name,
        places=row.places,
        places_left=row.places - row.places_taken,
        benefit=encode_benefit(row.benefit),
        starts_at=timestamp(row.starts_at),
        ends_at=timestamp(row.ends_at),
        rewards_expire_at=timestamp(row.rewards_expire_at),
        state=campaign_pb2.CampaignState.Value(f"{_STATE}{row.state}"),
        created_at=timestamp(row.created_at),
        etag=row.etag,
    )
