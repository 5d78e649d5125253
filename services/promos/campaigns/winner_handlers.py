"""CampaignService: who has won."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

from google.api import httpbody_pb2
from scrip.promos.v1 import campaign_pb2

from services.common.csv_lists import csv_replies
from services.common.db import Database
from services.common.encoding import Context
from services.common.list_pages import read_page
from services.promos.campaigns.encoding import encode_winner
from services.promos.campaigns.queries import get_campaign
from services.promos.campaigns.rewards import WINNER_LIST, WinnerRow

_CSV = (
    "rank",
    "member_id",
    "logged_in_at",
    "won_at",
    "code_id",
    "code_state",
    "used_at",
    "account_closed",
)


class WinnerHandlers:
    """Implements what CampaignService has about winners."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def ListWinners(
        self, request: campaign_pb2.ListWinnersRequest, context: Context
    ) -> campaign_pb2.ListWinnersResponse:
        """Returns a page of winners."""
        campaign_id = UUID(request.campaign_id)
        await self._db.read(get_campaign, campaign_id)
        page = await read_page(
            self._db,
            WINNER_LIST,
            request,
            order_by=request.order_by,
            campaign_id=campaign_id,
            rank_from=request.rank_from if request.HasField("rank_from") else None,
            rank_until=request.rank_until if request.HasField("rank_until") else None,
            member_id=UUID(request.member_id) if request.member_id else None,
        )
        return campaign_pb2.ListWinnersResponse(
            winners=map(encode_winner, page.rows), next_page_token=page.next_page_token, total=page.total
        )

    async def ExportWinners(
        self, request: campaign_pb2.ExportWinnersRequest, context: Context
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        """Returns all winners as CSV, in pieces."""
        campaign_id = UUID(request.campaign_id)
        await self._db.read(get_campaign, campaign_id)
        batches = WINNER_LIST.batches(self._db, campaign_id=campaign_id)
        lines = (map(_cells, rows) async for rows in batches)
        async for reply in csv_replies(context, "winners", _CSV, lines):
            yield reply


def _cells(row: WinnerRow) -> list[object]:
    winner = encode_winner(row)
    return [
        winner.rank,
        winner.member_id,
        winner.logged_in_at.ToJsonString(),
        winner.won_at.ToJsonString(),
        winner.code_id,
        row.code_state,
        winner.used_at.ToJsonString() if row.used_at else None,
        "yes" if row.account_closed else "no",
    ]
