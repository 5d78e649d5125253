"""Reads of campaigns, their winners, and what members have won."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from psycopg.sql import SQL

from services.common.db import Connection, fetch_all, fetch_first, fetch_values
from services.common.paging import Page
from services.promos.benefits import BenefitColumns
from services.promos.campaigns.refusals import campaign_not_found
from services.promos.codes import CODE_SETS, CODES

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
    created_at: datetime
    promotions_expire_at: datetime | None


@dataclass(frozen=True, slots=True)
class WinnerRow:
    """A place that was won."""

    rank: int
    member_id: UUID
    logged_in_at: datetime


@dataclass(frozen=True, slots=True)
class PromotionRow(BenefitColumns):
    """What a member has won."""

    campaign_id: UUID
    name: str
    rank: int
    code_id: UUID
    code: str
    used: bool
    won_at: datetime
    expires_at: datetime | None


_CAMPAIGN = SQL(
    """
    SELECT
      c.id, c.name, c.places, c.places_taken, c.starts_at, c.ends_at, c.state, c.created_at,
      s.expires_at AS promotions_expire_at, s.amount_off_minor, s.currency_code, s.percent_off
    FROM campaigns c JOIN {code_sets} s ON s.id = c.id
    WHERE c.id = %(id)s
    """
).format(code_sets=CODE_SETS)


async def get_campaign(connection: Connection, campaign_id: UUID) -> CampaignRow:
    """Returns a campaign. Raises CAMPAIGN_NOT_FOUND."""
    found = await fetch_first(connection, CampaignRow, _CAMPAIGN, id=campaign_id)
    if found is None:
        raise campaign_not_found(campaign_id)
    return found


_CAMPAIGNS = SQL(
    """
    SELECT
      c.id, c.name, c.places, c.places_taken, c.starts_at, c.ends_at, c.state, c.created_at,
      s.expires_at AS promotions_expire_at, s.amount_off_minor, s.currency_code, s.percent_off
    FROM campaigns c JOIN {code_sets} s ON s.id = c.id
    WHERE (%(after)s::uuid IS NULL OR c.id < %(after)s) AND (%(state)s::text IS NULL OR c.state = %(state)s)
    ORDER BY c.id DESC LIMIT %(limit)s
    """
).format(code_sets=CODE_SETS)


async def list_campaigns(
    connection: Connection, page: Page, *, state: str | None
) -> tuple[Sequence[CampaignRow], str]:
    """Returns a page of campaigns, the newest first, and the token of the next one; no state matches all."""
    rows = await fetch_all(
        connection, CampaignRow, _CAMPAIGNS, after=page.after(UUID), state=state, limit=page.size + 1
    )
    return page.cut(rows, lambda campaign: campaign.id)


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


_PROMOTIONS = SQL(
    """
    SELECT
      w.campaign_id, p.name, w.rank, w.code_id, w.won_at, c.code, c.used, c.expires_at,
      c.amount_off_minor, c.currency_code, c.percent_off
    FROM winners w JOIN campaigns p ON p.id = w.campaign_id JOIN {codes} c ON c.id = w.code_id
    WHERE w.member_id = %(member_id)s AND (%(after)s::uuid IS NULL OR w.code_id < %(after)s)
    ORDER BY w.code_id DESC LIMIT %(limit)s
    """
).format(codes=CODES)


async def list_promotions(
    connection: Connection, page: Page, *, member_id: UUID
) -> tuple[Sequence[PromotionRow], str]:
    """Returns a page of what a member has won, the newest first, and the token of the next one."""
    rows = await fetch_all(
        connection,
        PromotionRow,
        _PROMOTIONS,
        member_id=member_id,
        after=page.after(UUID),
        limit=page.size + 1,
    )
    return page.cut(rows, lambda promotion: promotion.code_id)


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
