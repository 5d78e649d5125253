"""Reads of campaigns, their winners, and what members have won."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from psycopg.sql import SQL

from services.common.db import Connection, fetch_all, fetch_first, fetch_values
from services.common.lists import Listing, SortKey, parse_moment, parse_text
from services.common.paging import Page
from services.promos.benefits import BenefitColumns, benefit_of
from services.promos.campaigns.refusals import campaign_not_found, reward_not_found
from services.promos.codes import CODE_SETS, CODES, CodeState

CampaignState = Literal["ACTIVE", "PAUSED", "ENDED"]


@dataclass(frozen=True, slots=True)
class CampaignRow(BenefitColumns):
    """A campaign."""

    id: UUID
    name: str
    places: int
    places_taken: int
    starts_at: datetime
    ends_at: datetime | None
    state: CampaignState
    version: int
    created_at: datetime
    rewards_expire_at: datetime | None

    @property
    def etag(self) -> str:
        """Changes with every change by staff."""
        return str(self.version)


@dataclass(frozen=True, slots=True)
class WinnerRow:
    """A place that was won."""

    rank: int
    member_id: UUID
    logged_in_at: datetime


@dataclass(frozen=True, slots=True)
class RewardRow(BenefitColumns):
    """What a member has won in a campaign."""

    id: UUID
    campaign_id: UUID
    name: str
    rank: int
    code_id: UUID
    code: str
    state: CodeState
    won_at: datetime
    expires_at: datetime | None


_COLUMNS = SQL(
    """
    c.id, c.name, c.places, c.places_taken, c.starts_at, c.ends_at, c.state, c.version, c.created_at,
    s.expires_at AS rewards_expire_at, {benefit}
    """
).format(benefit=benefit_of("s"))
_SOURCE = SQL("campaigns c JOIN {code_sets} s ON s.id = c.id").format(code_sets=CODE_SETS)

_CAMPAIGN = SQL("SELECT {columns} FROM {source} WHERE c.id = %(id)s").format(columns=_COLUMNS, source=_SOURCE)


async def get_campaign(connection: Connection, campaign_id: UUID) -> CampaignRow:
    """Returns a campaign. Raises CAMPAIGN_NOT_FOUND."""
    found = await fetch_first(connection, CampaignRow, _CAMPAIGN, id=campaign_id)
    if found is None:
        raise campaign_not_found(campaign_id)
    return found


_LOCKED_CAMPAIGN = SQL("SELECT {columns} FROM {source} WHERE c.id = %(id)s FOR UPDATE OF c").format(
    columns=_COLUMNS, source=_SOURCE
)


async def lock_campaign(connection: Connection, campaign_id: UUID) -> CampaignRow:
    """Returns a campaign that nobody else changes until the commit. Raises CAMPAIGN_NOT_FOUND."""
    found = await fetch_first(connection, CampaignRow, _LOCKED_CAMPAIGN, id=campaign_id)
    if found is None:
        raise campaign_not_found(campaign_id)
    return found


CAMPAIGN_LIST = Listing(
    row=CampaignRow,
    columns=_COLUMNS,
    source=_SOURCE,
    filters={
        "state": "c.state = %(state)s",
        "query": "starts_with(lower(c.name), lower(%(query)s))",
    },
    keys={
        "created_at": SortKey("c.created_at", "created_at", parse_moment),
        "name": SortKey("c.name", "name", parse_text),
    },
    key=SortKey("c.id", "id", UUID),
    default_order="created_at desc",
)
"""All campaigns. Staff make them one by one, so no filter needs an index."""


async def open_campaigns(connection: Connection, moment: datetime) -> Sequence[UUID]:
    """Returns the campaigns that have places for a login at this moment, in the order of locking."""
    return await fetch_values(
        connection,
        """
        SELECT id FROM campaigns
        WHERE state = 'ACTIVE' AND places_taken < places
          AND starts_at <= %(moment)s AND (ends_at IS NULL OR %(moment)s < ends_at)
        ORDER BY id
        """,
        moment=moment,
    )


async def list_winners(
    connection: Connection, page: Page, *, campaign_id: UUID
) -> tuple[Sequence[WinnerRow], str]:
    """Returns a page of winners by rank, and the token of the next one. Raises CAMPAIGN_NOT_FOUND."""
    await get_campaign(connection, campaign_id)
    rows = await fetch_all(
        connection,
        WinnerRow,
        """
        SELECT rank, member_id, logged_in_at FROM winners
        WHERE campaign_id = %(campaign_id)s AND rank > %(after)s
        ORDER BY rank LIMIT %(limit)s
        """,
        campaign_id=campaign_id,
        after=page.after(_rank) or 0,
        limit=page.size + 1,
    )
    return page.cut(rows, lambda winner: winner.rank)


_REWARD_COLUMNS = SQL(
    """
    w.id, w.campaign_id, p.name, w.rank, w.code_id, c.code, c.state, w.won_at, c.expires_at,
    {benefit}
    """
).format(benefit=benefit_of("c"))
_REWARD_SOURCE = SQL(
    "winners w JOIN campaigns p ON p.id = w.campaign_id JOIN {codes} c ON c.id = w.code_id"
).format(codes=CODES)

REWARD_LIST = Listing(
    row=RewardRow,
    columns=_REWARD_COLUMNS,
    source=_REWARD_SOURCE,
    filters={"member_id": "w.member_id = %(member_id)s", "state": "c.state = %(state)s"},
    keys={"won_at": SortKey("w.won_at", "won_at", parse_moment)},
    key=SortKey("w.id", "id", UUID),
    default_order="won_at desc",
)
"""The rewards of one member, who must be named: there are few, which are sorted when they are asked for."""

_REWARD = SQL("SELECT {columns} FROM {source} WHERE w.id = %(id)s AND w.member_id = %(member_id)s").format(
    columns=_REWARD_COLUMNS, source=_REWARD_SOURCE
)


async def get_reward(connection: Connection, reward_id: UUID, member_id: UUID) -> RewardRow:
    """Returns a reward of this member. Raises REWARD_NOT_FOUND."""
    found = await fetch_first(connection, RewardRow, _REWARD, id=reward_id, member_id=member_id)
    if found is None:
        raise reward_not_found(reward_id)
    return found


async def codes_won(connection: Connection, member_id: UUID) -> Sequence[UUID]:
    """Returns the ids of all codes that a member has won."""
    return await fetch_values(
        connection, "SELECT code_id FROM winners WHERE member_id = %(member_id)s", member_id=member_id
    )


def _rank(position: str) -> int:
    """Returns a rank from a page token. Raises ValueError for one that no rank can have."""
    rank = int(position)
    if not 0 < rank < 2**31:
        raise ValueError(position)
    return rank
