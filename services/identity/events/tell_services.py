"""Writing down what happened to a member, for the other services to hear of."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from services.common import jobs
from services.common.ids import new_id
from services.common.legacy_db import Connection

LISTENERS = ("points", "vouchers", "promos")
DELIVER_JOB = "deliver_member_events"
EVENT_QUEUES = {service: f"member_events_{service}" for service in LISTENERS}
"""A queue for each service: one that is away, and is waited for at every try, must not delay the others."""

REGISTERED, FIRST_LOGIN = "REGISTERED", "FIRST_LOGIN"
PHONE_CHANGED, CONSENT_CHANGED = "PHONE_CHANGED", "CONSENT_CHANGED"
SUSPENDED, RESTORED, CLOSED = "SUSPENDED", "RESTORED", "CLOSED"


async def tell_services(
    connection: Connection, member_id: UUID, *types: str, phone_hash: bytes | None
) -> None:
    """Keeps these events of a member, in this order, and has every other service told.

    The events carry the member's consent as it is now, and `phone_hash`, a keyed hash of the member's
    phone number, so that a person is known again under a new account.
    """
    for kind in types:
        await connection.execute(
            text(
                "WITH counted AS (UPDATE members SET event_version = event_version + 1 WHERE id = :member_id"
                " RETURNING event_version, shares_contact)"
                " INSERT INTO member_events (member_id, version, id, type, phone_hash, shares_contact)"
                " SELECT :member_id, event_version, :id, :type, :phone_hash, shares_contact FROM counted"
            ),
            {"member_id": member_id, "id": new_id(), "type": kind, "phone_hash": phone_hash},
        )
    for service in LISTENERS:
        await jobs.defer(
            connection,
            DELIVER_JOB,
            lock=f"{service}:{member_id}",  # the events of a member reach a service one after the other
            queue=EVENT_QUEUES[service],
            service=service,
            member_id=str(member_id),
        )
