"""What endpoints were told, and telling them again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.common import audit
from services.common.caller import Caller
from services.common.db import Connection, execute, fetch_all, fetch_first
from services.common.errors import DomainError
from services.common.ids import new_id
from services.common.lists import Listing, SortKey, parse_moment
from services.common.webhooks.endpoints import EndpointRow, get_endpoint
from services.common.webhooks.queue import DeliveryState

PING = "ping"
MOST_REDELIVERED = 10_000
MOST_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery; its id in the contract is that of its event, the `webhook-id` that the receiver sees."""

    event_id: UUID
    endpoint_id: UUID
    kind: str
    subject_id: UUID
    occurred_at: datetime
    state: DeliveryState
    attempts: int
    next_attempt_at: datetime | None
    created_at: datetime
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """What came of an attempt."""

    event_id: UUID
    number: int
    started_at: datetime
    duration_ms: int
    status: int | None
    error: str | None


DELIVERIES = Listing(
    row=DeliveryRow,
    columns=(
        "event_id, endpoint_id, kind, subject_id, occurred_at, state, attempts, next_attempt_at,"
        " created_at, completed_at"
    ),
    source="webhook_deliveries",
    filters={
        "endpoint_id": "endpoint_id = %(endpoint_id)s",
        "state": "state = %(state)s",
        "kind": "kind = %(kind)s",
        "created_from": "created_at >= %(created_from)s",
        "created_until": "created_at < %(created_until)s",
    },
    keys={"created_at": SortKey("created_at", "created_at", parse_moment)},
    key=SortKey("event_id", "event_id", UUID),
    default_order="created_at desc",
)
"""The deliveries of an endpoint, which must be named. They grow with sales: each filter has an index."""


async def attempts_of(
    connection: Connection, endpoint_id: UUID, event_ids: Sequence[UUID]
) -> Mapping[UUID, Sequence[AttemptRow]]:
    """Returns the attempts of each of these deliveries, in order: the last twenty."""
    rows = await fetch_all(
        connection,
        AttemptRow,
        """
        SELECT a.event_id, a.number, a.started_at, a.duration_ms, a.status, a.error
        FROM unnest(%(event_ids)s::uuid[]) AS e (id) CROSS JOIN LATERAL (
          SELECT * FROM webhook_attempts WHERE endpoint_id = %(endpoint_id)s AND event_id = e.id
          ORDER BY number DESC LIMIT %(most)s
        ) AS a
        ORDER BY a.event_id, a.number
        """,
        endpoint_id=endpoint_id,
        event_ids=list(event_ids),
        most=MOST_ATTEMPTS,
    )
    found: dict[UUID, list[AttemptRow]] = defaultdict(list)
    for row in rows:
        found[row.event_id].append(row)
    return found


async def get_delivery(connection: Connection, endpoint_id: UUID, event_id: UUID) -> DeliveryRow:
    """Returns a delivery to this endpoint. Raises DELIVERY_NOT_FOUND."""
    found = await fetch_first(
        connection,
        DeliveryRow,
        """
        SELECT event_id, endpoint_id, kind, subject_id, occurred_at, state, attempts, next_attempt_at,
          created_at, completed_at
        FROM webhook_deliveries WHERE endpoint_id = %(endpoint_id)s AND event_id = %(event_id)s
        """,
        endpoint_id=endpoint_id,
        event_id=event_id,
    )
    if found is None:
        raise DomainError("DELIVERY_NOT_FOUND", "no such delivery", delivery_id=event_id)
    return found


async def get_with_attempts(
    connection: Connection, owner_id: UUID, endpoint_id: UUID, event_id: UUID
) -> tuple[DeliveryRow, Sequence[AttemptRow]]:
    """Returns a delivery and its attempts, as they were at one moment. To be a transaction of its own.

    Raises WEBHOOK_NOT_FOUND and DELIVERY_NOT_FOUND.
    """
    await execute(connection, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    await get_endpoint(connection, owner_id, endpoint_id)
    found = await get_delivery(connection, endpoint_id, event_id)
    made = await attempts_of(connection, endpoint_id, [event_id])
    return found, made.get(event_id, ())


async def ping(connection: Connection, *, owner_id: UUID, endpoint_id: UUID) -> DeliveryRow:
    """Queues a ping to an endpoint, whichever kinds it wants.

    Raises WEBHOOK_NOT_FOUND and WEBHOOK_DISABLED.
    """
    await _enabled(connection, owner_id, endpoint_id)
    event_id = new_id()
    await execute(
        connection,
        """
        INSERT INTO webhook_deliveries (
          endpoint_id, event_id, kind, subject_id, occurred_at, next_attempt_at
        ) VALUES (%(endpoint_id)s, %(event_id)s, %(kind)s, %(endpoint_id)s, now(), now())
        """,
        endpoint_id=endpoint_id,
        event_id=event_id,
        kind=PING,
    )
    return await get_delivery(connection, endpoint_id, event_id)


async def redeliver(
    connection: Connection, *, actor: Caller, owner_id: UUID, endpoint_id: UUID, event_id: UUID
) -> DeliveryRow:
    """Has a delivery sent again, at once and with all its tries; one that still waits is sent at once.

    Raises WEBHOOK_NOT_FOUND, WEBHOOK_DISABLED, DELIVERY_NOT_FOUND, and DELIVERY_SUCCEEDED for one that was
    taken: then its receiver has it.
    """
    await _enabled(connection, owner_id, endpoint_id)
    queued = await execute(
        connection,
        """
        UPDATE webhook_deliveries SET
          tries = CASE WHEN state = 'FAILED' THEN 0 ELSE tries END,
          state = 'PENDING', next_attempt_at = now(), completed_at = NULL
        WHERE endpoint_id = %(endpoint_id)s AND event_id = %(event_id)s
          AND state <> 'SUCCEEDED' AND (sending_until IS NULL OR sending_until <= now())
        """,
        endpoint_id=endpoint_id,
        event_id=event_id,
    )
    delivery = await get_delivery(connection, endpoint_id, event_id)
    if delivery.state == "SUCCEEDED":
        raise DomainError("DELIVERY_SUCCEEDED", "the receiver has taken this delivery", delivery_id=event_id)
    if queued:
        await audit.record(
            connection,
            actor,
            "webhook.redelivered",
            endpoint_id,
            owner_id=str(owner_id),
            delivery_id=str(event_id),
        )
    return delivery


async def redeliver_failed(
    connection: Connection, *, actor: Caller, owner_id: UUID, endpoint_id: UUID, since: datetime
) -> int:
    """Has all failed deliveries of an endpoint sent again that were made since a moment.

    Returns how many: 10,000 at most, the oldest first. Raises WEBHOOK_NOT_FOUND and WEBHOOK_DISABLED.
    """
    await _enabled(connection, owner_id, endpoint_id)
    queued = await execute(
        connection,
        """
        UPDATE webhook_deliveries
        SET state = 'PENDING', tries = 0, next_attempt_at = now(), completed_at = NULL
        WHERE endpoint_id = %(endpoint_id)s AND event_id IN (
          SELECT event_id FROM webhook_deliveries
          WHERE endpoint_id = %(endpoint_id)s AND state = 'FAILED' AND created_at >= %(since)s
          ORDER BY created_at, event_id LIMIT %(most)s FOR UPDATE
        )
        """,
        endpoint_id=endpoint_id,
        since=since,
        most=MOST_REDELIVERED,
    )
    if queued:
        await audit.record(
            connection,
            actor,
            "webhook.redelivered",
            endpoint_id,
            owner_id=str(owner_id),
            since=since.isoformat(),
            count=queued,
        )
    return queued


async def _enabled(connection: Connection, owner_id: UUID, endpoint_id: UUID) -> EndpointRow:
    """Returns an endpoint to which something can be sent. Raises WEBHOOK_NOT_FOUND and WEBHOOK_DISABLED."""
    found = await get_endpoint(connection, owner_id, endpoint_id)
    if not found.enabled:
        raise DomainError("WEBHOOK_DISABLED", "the webhook is disabled; enable it first")
    return found
