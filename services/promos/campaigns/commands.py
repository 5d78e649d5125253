"""Making and changing campaigns, and pausing, resuming and ending them."""

from __future__ import annotations

from dataclasses import dataclass
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
from services.promos.campaigns.changes import CampaignChanges, differences
from services.promos.campaigns.queries import CampaignRow, Switch, get_campaign, lock_campaign
from services.promos.campaigns.refusals import campaign_ended, campaign_started, places_taken
from services.promos.codes import CodeSetChanges, change_code_set, lock_code_set, make_code_set


@dataclass(frozen=True)
class NewCampaign:
    """A campaign as staff ask for it. Moments that are None: at once, and without end."""

    name: str
    places: int
    benefit: Benefit
    description: str = ""
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    rewards_expire_at: datetime | None = None
    rewards_valid_days: int | None = None
    includes_members_without_phone: bool = False


async def create_campaign(connection: Connection, *, actor: Caller, new: NewCampaign) -> CampaignRow:
    """Makes a campaign and returns it; it starts at once when no start is given.

    Raises VALIDATION_FAILED for rewards that expire before the start, and (by constraint) for a window
    that ends before it starts and for an amount of nothing.
    """
    if new.starts_at:
        _require_rewards_after(new.starts_at, new.rewards_expire_at)
    campaign_id = new_id()
    await make_code_set(
        connection,
        campaign_id,
        purpose="CAMPAIGN",
        name=new.name,
        benefit=new.benefit,
        expires_at=new.rewards_expire_at,
        valid_days=new.rewards_valid_days,
    )
    await execute(
        connection,
        """
        INSERT INTO campaigns (
          id, name, description, places, starts_at, ends_at, includes_members_without_phone
        )
        VALUES (
          %(id)s, %(name)s, %(description)s, %(places)s, coalesce(%(starts_at)s::timestamptz, now()),
          %(ends_at)s, %(includes_members_without_phone)s
        )
        """,
        id=campaign_id,
        name=new.name,
        description=new.description,
        places=new.places,
        starts_at=new.starts_at,
        ends_at=new.ends_at,
        includes_members_without_phone=new.includes_members_without_phone,
    )
    await audit.record(connection, actor, "campaign.created", campaign_id, name=new.name, places=new.places)
    return await get_campaign(connection, campaign_id)


async def update_campaign(
    connection: Connection, *, actor: Caller, campaign_id: UUID, etag: str, changes: CampaignChanges
) -> CampaignRow:
    """Changes a campaign and returns it; where nothing is different, nothing is audited either.

    While its row is locked nobody takes a place. Raises CAMPAIGN_NOT_FOUND, ETAG_MISMATCH, CAMPAIGN_ENDED,
    CAMPAIGN_STARTED, PLACES_TAKEN, and VALIDATION_FAILED for rewards that expire before the start and (by
    constraint) for a window that ends before it starts.
    """
    before = await lock_campaign(connection, campaign_id)
    require_etag(etag, before.etag, of="campaign")
    after = changes.applied_to(before)
    if after == before:
        return before
    _require_possible(before, after)
    await execute(
        connection,
        """
        UPDATE campaigns SET
          name = %(name)s,
          description = %(description)s,
          places = %(places)s,
          starts_at = %(starts_at)s,
          ends_at = %(ends_at)s,
          includes_members_without_phone = %(includes_members_without_phone)s,
          version = version + 1
        WHERE id = %(id)s
        """,
        id=campaign_id,
        name=after.name,
        description=after.description,
        places=after.places,
        starts_at=after.starts_at,
        ends_at=after.ends_at,
        includes_members_without_phone=after.includes_members_without_phone,
    )
    await _change_rewards(connection, after)
    await audit.record(connection, actor, "campaign.updated", campaign_id, **differences(before, after))
    return await get_campaign(connection, campaign_id)


async def change_campaign_state(
    connection: Connection, *, actor: Caller, campaign_id: UUID, etag: str, switch: Switch
) -> CampaignRow:
    """Pauses, resumes or ends a campaign and returns it; when that is done already, nothing changes.

    An `etag` is that of the campaign as the caller read it; without one it is changed whatever it is now.
    Raises CAMPAIGN_NOT_FOUND, ETAG_MISMATCH, and CAMPAIGN_ENDED for one that was ended and shall not stay so.
    """
    before = await lock_campaign(connection, campaign_id)
    require_etag(etag, before.etag, of="campaign")
    if before.switch == switch:
        return before
    if before.switch == "ENDED":
        raise campaign_ended(campaign_id)
    await execute(
        connection,
        "UPDATE campaigns SET state = %(state)s, version = version + 1 WHERE id = %(id)s",
        id=campaign_id,
        state=switch,
    )
    await audit.record(connection, actor, _action(switch), campaign_id)
    return await get_campaign(connection, campaign_id)


def _require_possible(before: CampaignRow, after: CampaignRow) -> None:
    if before.switch == "ENDED" and before.terms != after.terms:
        raise campaign_ended(before.id)
    if before.has_started and before.starts_at != after.starts_at:
        raise campaign_started(before.id)
    if after.places < before.places_taken:
        raise places_taken(before.places_taken)
    _require_rewards_after(after.starts_at, after.rewards_expire_at)


def _require_rewards_after(starts_at: datetime, rewards_expire_at: datetime | None) -> None:
    if rewards_expire_at and rewards_expire_at <= starts_at:
        raise invalid_field("rewards_expire_at", "must lie after starts_at")


async def _change_rewards(connection: Connection, after: CampaignRow) -> None:
    """Changes the code set as the campaign now wants it."""
    code_set = await lock_code_set(connection, after.id)
    emptied = {"expires_at": after.rewards_expire_at, "valid_days": after.rewards_valid_days}
    changes = CodeSetChanges(
        name=after.name,
        expires_at=after.rewards_expire_at,
        valid_days=after.rewards_valid_days,
        clear=[name for name, value in emptied.items() if value is None],
    )
    await change_code_set(connection, code_set, changes)


def _action(switch: Switch) -> str:
    match switch:
        case "ACTIVE":
            return "campaign.resumed"
        case "PAUSED":
            return "campaign.paused"
        case "ENDED":
            return "campaign.ended"
        case _:
            assert_never(switch)
