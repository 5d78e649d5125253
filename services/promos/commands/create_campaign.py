"""Making a campaign."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text

from services.common import audit
from services.common.caller import Caller
from services.common.errors import invalid_field
from services.common.ids import new_id
from services.common.legacy_db import Connection
from services.promos import queries
from services.promos.values import Benefit, CampaignRow


async def create_campaign(
    connection: Connection,
    *,
    actor: Caller,
    name: str,
    places: int,
    benefit: Benefit,
    starts_at: datetime | None,
    ends_at: datetime | None,
    promotions_expire_at: datetime | None,
) -> CampaignRow:
    """Makes a campaign that starts at once when no start is given.

    Raises VALIDATION_FAILED for promotions that expire before the start, and (by constraint) for a window
    that ends before it starts and for an amount of nothing.
    """
    if starts_at and promotions_expire_at and promotions_expire_at <= starts_at:
        raise invalid_field("promotions_expire_at", "must lie after starts_at")
    campaign_id = new_id()
    await connection.execute(
        text(
            "INSERT INTO code_sets (id, amount_off_minor, currency_code, percent_off, expires_at)"
            " VALUES (:id, :amount_off_minor, :currency_code, :percent_off, :expires_at)"
        ),
        {
            "id": campaign_id,
            "amount_off_minor": benefit.amount_off_minor,
            "currency_code": benefit.currency_code,
            "percent_off": benefit.percent_off,
            "expires_at": promotions_expire_at,
        },
    )
    await connection.execute(
        text(
            "INSERT INTO campaigns (id, name, places, starts_at, ends_at)"
            " VALUES (:id, :name, :places, coalesce(CAST(:starts_at AS timestamptz), now()), :ends_at)"
        ),
        {"id": campaign_id, "name": name, "places": places, "starts_at": starts_at, "ends_at": ends_at},
    )
    await audit.record(connection, actor, "campaign.created", campaign_id, name=name, places=places)
    return await queries.get_campaign(connection, campaign_id)
