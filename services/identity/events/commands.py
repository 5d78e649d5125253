"""Keeping what happened to a member, and publishing it to the other services."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.common import outbox
from services.common.db import Connection, fetch_all
from services.common.ids import new_id
from services.common.members import MemberEvent
from services.common.outbox import NewMessage
from services.identity.events.kinds import event_content, kind_name

LISTENERS = ("points", "vouchers", "promos")
TOPIC = "member_event"
EVENT_QUEUES = {service: f"member_events_{service}" for service in LISTENERS}
"""A queue for each service: one that is away, and is waited for at every try, must not delay the others."""


@dataclass(frozen=True, slots=True)
class _Kept:
    id: UUID
    version: int
    type: str
    shares_contact: bool


async def publish_member_events(
    connection: Connection, member_id: UUID, *kinds: type[MemberEvent], phone_hash: bytes | None
) -> None:
    """Keeps events of a member, in this order, and puts them into the outbox for every other service.

    The events carry the member's consent as it is now, and `phone_hash`, a keyed hash of the member's
    phone number, so that a person is known again under a new account.
    """
    kept = await fetch_all(
        connection,
        _Kept,
        """
        WITH counted AS (
          UPDATE members SET event_version = event_version + cardinality(%(kinds)s::text[])
          WHERE id = %(member_id)s
          RETURNING old.event_version AS version_before, shares_contact
        )
        INSERT INTO member_events (member_id, version, id, type, phone_hash, shares_contact)
        SELECT %(member_id)s, version_before + number, event.id, kind, %(phone_hash)s::bytea, shares_contact
        FROM counted, unnest(%(ids)s::uuid[], %(kinds)s::text[]) WITH ORDINALITY AS event (id, kind, number)
        RETURNING id, version, type, shares_contact
        """,
        member_id=member_id,
        ids=[new_id() for _ in kinds],
        kinds=[kind_name(kind) for kind in kinds],
        phone_hash=phone_hash,
    )
    await outbox.put_all(
        connection,
        [
            NewMessage(
                topic=TOPIC,
                receiver=service,
                subject=str(member_id),
                version=event.version,
                content=event_content(
                    event_id=event.id,
                    kind=event.type,
                    phone_hash=phone_hash,
                    shares_contact=event.shares_contact,
                ),
                queue=EVENT_QUEUES[service],
            )
            for service in LISTENERS
            for event in kept
        ],
    )
