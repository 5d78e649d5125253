"""Pausing, resuming and ending a campaign."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from services.common import audit
from services.common.caller import Caller
from services.common.errors import DomainError
from services.common.legacy_db import Connection
from services.promos import queries
from services.promos.values import CampaignRow

ACTIVE, PAUSED, ENDED = "ACTIVE", "PAUSED", "ENDED"
_ACTIONS = {ACTIVE: "campaign.resumed", PAUSED: "campaign.paused", ENDED: "campaign.ended"}


async def change_campaign_state(
    connection: Connection, *, actor: Caller, campaign_id: UUID, state: str
) -> CampaignRow:
    """Brings a campaign into a state; one that is in it already stays so, and nothing is audited.

    Raises CAMPAIGN_NOT_FOUND, and CAMPAIGN_ENDED for one that has ended and shall not stay so.
    """
    result = await connection.execute(
        text(
            "UPDATE campaigns SET state = :state WHERE id = :id AND (state <> 'ENDED' OR :state = 'ENDED')"
            " RETURNING old.state"
        ),
        {"id": campaign_id, "state": state},
    )
    before = result.scalar_one_or_none()
    campaign = await queries.get_campaign(connection, campaign_id)
    if before is None:
        raise DomainError("CAMPAIGN_ENDED", "the campaign has ended for good", campaign_id=campaign_id)
    if before != state:
        await audit.record(connection, actor, _ACTIONS[state], campaign_id)
    return campaign
