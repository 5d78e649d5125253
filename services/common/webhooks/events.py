"""Events that endpoints are told of: written in the transaction that decides them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from psycopg.types.json import Jsonb

from services.common.db import Connection, execute
from services.common.ids import new_id


@dataclass(frozen=True, slots=True)
class OwnersEvent:
    """Something that the endpoints of an owner may want to know.

    `kind` is what bodies call their type, such as `claim.created`; `subject_id` what it happened to, and
    `member_id` the member who did it.
    """

    owner_id: UUID
    kind: str
    subject_id: UUID
    occurred_at: datetime
    member_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """An event on its way to an endpoint. `id` is the `webhook-id` of every attempt, to every endpoint."""

    id: UUID
    owner_id: UUID
    kind: str
    subject_id: UUID
    occurred_at: datetime
    member_id: UUID | None


Payload = Callable[[Event], Awaitable[Mapping[str, Any]]]
"""Builds the data that is sent of an event, at the moment of each attempt. Values are those of JSON."""


async def write_events(connection: Connection, events: Sequence[OwnersEvent]) -> None:
    """Writes a delivery for each event and each enabled endpoint of its owner that wants its kind.

    One round trip for many events. An event that nobody wants writes nothing. Nothing is deferred and no row
    is locked, so that many transactions can do this at once; workers find what is due.
    """
    if not events:
        return
    given = [
        {
            "event_id": new_id(),
            "owner_id": event.owner_id,
            "kind": event.kind,
            "subject_id": event.subject_id,
            "occurred_at": event.occurred_at,
            "member_id": event.member_id,
        }
        for event in events
    ]
    await execute(
        connection,
        """
        INSERT INTO webhook_deliveries (
          endpoint_id, event_id, kind, subject_id, occurred_at, member_id, next_attempt_at
        )
        SELECT e.id, g.event_id, g.kind, g.subject_id, g.occurred_at, g.member_id, now()
        FROM jsonb_to_recordset(%(events)s) AS g (
          event_id uuid, owner_id uuid, kind text, subject_id uuid, occurred_at timestamptz, member_id uuid
        )
        JOIN webhook_endpoints AS e ON e.owner_id = g.owner_id
        WHERE e.enabled AND e.deleted_at IS NULL AND g.kind = ANY(e.kinds)
        """,
        events=Jsonb(given, dumps=_dumps),
    )


def _dumps(events: object) -> bytes:
    return orjson.dumps(events, default=str)
