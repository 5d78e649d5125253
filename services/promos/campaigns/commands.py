"""Making campaigns, and pausing, resuming and ending them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import assert_never
from uuid import UUID

from services.common import audit
from services.common.caller import Caller
from services.common.db import Connection, execute
from services.common.errors import invalid_field
from services.common.etags import require_etag
from services.common.ids import new_id
from services.promos.benefits import Benefit
from services.promos.campaigns.queries import CampaignRow, CampaignState, get_campaign, lock_campaign
from services.promos.campaigns.refusals import campaign_ended
from services.promos.codes import make_code_set


async def create_campaign(
    connection: Connection,
    *,
    actor: Caller,
    name: str,
    places: int,
    benefit: Benefit,
    starts_at: datetime | None,
    ends_at: datetime | None,
    rewards_expire_at: datetime | None,
) -> CampaignRow:
    """Makes a campaign and returns it; it starts at once when no start is given.

    Raises VALIDATION_FAILED for rewards that expire before the start, and (by constraint) for a window
    that ends before it starts and for an amount of nothing.
    """
    if starts_at and rewards_expire_at and rewards_expire_at <= starts_at:
        raise invalid_field("rewards_expire_at", "must lie after starts_at")
    campaign_id = new_id()
    await make_code_set(
        connection, campaign_id, purpose="CAMPAIGN", benefit=benefit, expires_at=rewards_expire_at
    )
    await execute(
        connection,
        """
        INSERT INTO campaigns (id, name, places, starts_at, ends_at)
        VALUES (
          %(id)s, %(name)s, %(places)s, coalesce(%(starts_at)s::timestamptz, now()), %(ends_at)s
        )
        """,
        id=campaign_id,
        name=name,
        places=places,
        starts_at=starts_at,
        ends_at=ends_at,
    )
    await audit.record(connection, actor, "campaign.created", campaign_id, name=name, places=places)
    return await get_campaign(connection, campaign_id)


async def change_campaign_state(
    connection: Connection, *, actor: Caller, campaign_id: UUID, etag: str, state: CampaignState
) -> CampaignRow:
    """Brings a campaign into a state and returns it; when it is in it already, nothing changes.

    An `etag` is that of the campaign as the caller read it; without one it is changed whatever it is now.
    Raises CAMPAIGN_NOT_FOUND, ETAG_MISMATCH, and CAMPAIGN_ENDED for one that has ended and shall not stay so.
    """
    before = await lock_campaign(connection, campaign_id)
    require_etag(etag, before.etag, of="campaign")
    if before.state == state:
        return before
    if before.state == "ENDED":
        raise campaign_ended(campaign_id)
    await execute(
        connection,
        "UPDATE campaigns SET state = %(state)s, version = version + 1 WHERE id = %(id)s",
        id=campaign_id,
        state=state,
    )
    await audit.record(connection, actor, _action(state), campaign_id)
    return replace(before, state=state, version=before.version + 1)


def _action(state: CampaignState) -> str:
    match state:
        case "ACTIVE":
            return "campaign.resumed"
        case "PAUSED":
            return "campaign.paused"
        case "ENDED":
            return "campaign.ended"
        case _:
            assert_never(state)
