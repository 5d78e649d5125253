"""Reads of campaigns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from psycopg.sql import SQL

from services.common.db import Connection, fetch_first, fetch_values
from services.common.lists import Listing, SortKey, parse_moment, parse_text
from services.promos.benefits import BenefitColumns, benefit_of
from services.promos.campaigns.refusals import campaign_not_found
from services.promos.codes import CODE_SETS

Switch = Literal["ACTIVE", "PAUSED", "ENDED"]
"""What staff set: whether a campaign gives places, within its window, while there are any."""

CampaignState = Literal["SCHEDULED", "RUNNING", "FULL", "PAUSED", "ENDED"]
"""Where a campaign stands at a moment."""


@dataclass(frozen=True, slots=True)
class CampaignRow(BenefitColumns):
    """A campaign."""

    id: UUID
    name: str
    description: str
    places: int
    places_taken: int
    starts_at: datetime
    ends_at: datetime | None
    includes_members_without_phone: bool
    switch: Switch
    state: CampaignState
    has_started: bool
    version: int
    created_at: datetime
    rewards_expire_at: datetime | None
    rewards_valid_days: int | None

    @property
    def etag(self) -> str:
        """Changes with every change by staff."""
        return str(self.version)

    @property
    def terms(self) -> tuple[object, ...]:
        """Who wins, and for how long: what stays as it is once a campaign was ended."""
        return (
            self.places,
            self.starts_at,
            self.ends_at,
            self.includes_members_without_phone,
            self.rewards_valid_days,
        )


_STATE = SQL(
    """
    CASE
      WHEN c.state = 'ENDED' OR c.ends_at <= now() THEN 'ENDED'
      WHEN c.state = 'PAUSED' THEN 'PAUSED'
      WHEN c.starts_at > now() THEN 'SCHEDULED'
      WHEN c.places_taken = c.places THEN 'FULL'
      ELSE 'RUNNING'
    END
    """
)
"""Where a campaign `c` stands now: a CampaignState."""

_COLUMNS = SQL(
    """
    c.id, c.name, c.description, c.places, c.places_taken, c.starts_at, c.ends_at,
    c.includes_members_without_phone, c.state AS switch, {state} AS state,
    c.starts_at <= now() AS has_started, c.version, c.created_at,
    s.expires_at AS rewards_expire_at, s.valid_days AS rewards_valid_days, {benefit}
    """
).format(state=_STATE, benefit=benefit_of("s"))
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
        "state": SQL("{state} = %(state)s").format(state=_STATE),
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


async def open_campaigns(connection: Connection, moment: datetime, *, has_phone: bool) -> Sequence[UUID]:
    """Returns the campaigns that have places for a login at this moment, in the order of locking."""
    return await fetch_values(
        connection,
        """
        SELECT id FROM campaigns
        WHERE state = 'ACTIVE' AND places_taken < places
          AND starts_at <= %(moment)s AND (ends_at IS NULL OR %(moment)s < ends_at)
          AND (includes_members_without_phone OR %(has_phone)s)
        ORDER BY id
        """,
        moment=moment,
        has_phone=has_phone,
    )
