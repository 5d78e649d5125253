"""The queue of deliveries: what is due, whose turn it is, and what came of an attempt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from services.common.db import Connection, execute, fetch_all, fetch_first

DeliveryState = Literal["PENDING", "SUCCEEDED", "FAILED"]

LEASE_SECONDS: Final = 45
"""For so long a worker has a delivery for itself; then it is taken for dead, and another one sends it."""
_PER_ENDPOINT = 4
"""Deliveries to one endpoint at a time. To one that fails it is one, so that failures hold up little."""
KEPT_DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """A delivery that this worker is to send now, and where to. `attempts` numbers this attempt."""

    endpoint_id: UUID
    event_id: UUID
    owner_id: UUID
    kind: str
    subject_id: UUID
    member_id: UUID | None
    occurred_at: datetime
    attempts: int
    tries: int
    url: str
    secret: bytes
    old_secret: bytes | None


async def take_due(connection: Connection, *, most: int) -> Sequence[DueDelivery]:
    """Returns up to `most` deliveries that are due, which are then this worker's for a while.

    Endpoints with something to send are found one by one through the index, so that a long queue of one costs
    the others nothing. Of each the first few are taken, less what is being sent to it now.
    """
    return await fetch_all(
        connection,
        DueDelivery,
        """
        WITH RECURSIVE waiting (endpoint_id) AS (
          (
            SELECT endpoint_id FROM webhook_deliveries WHERE state = 'PENDING'
            ORDER BY endpoint_id LIMIT 1
          )
          UNION ALL
          SELECT (
            SELECT d.endpoint_id FROM webhook_deliveries AS d
            WHERE d.state = 'PENDING' AND d.endpoint_id > w.endpoint_id
            ORDER BY d.endpoint_id LIMIT 1
          )
          FROM waiting AS w WHERE w.endpoint_id IS NOT NULL
        ), due AS (
          SELECT d.endpoint_id, d.event_id
          FROM waiting AS w
          JOIN webhook_endpoints AS e ON e.id = w.endpoint_id AND e.enabled AND e.deleted_at IS NULL
          CROSS JOIN LATERAL (
            SELECT endpoint_id, event_id, next_attempt_at FROM webhook_deliveries
            WHERE endpoint_id = e.id AND state = 'PENDING' AND next_attempt_at <= now()
            ORDER BY next_attempt_at
            LIMIT greatest(
              CASE WHEN e.failing_since IS NULL THEN %(per_endpoint)s ELSE 1 END - (
                SELECT count(*) FROM webhook_deliveries AS s
                WHERE s.endpoint_id = e.id AND s.sending_until > now()
              ),
              0
            )
            FOR UPDATE SKIP LOCKED
          ) AS d
          ORDER BY d.next_attempt_at LIMIT %(most)s
        )
        UPDATE webhook_deliveries AS d SET
          attempts = d.attempts + 1,
          tries = d.tries + 1,
          sending_until = now() + make_interval(secs => %(lease)s),
          next_attempt_at = now() + make_interval(secs => %(lease)s)
        FROM due JOIN webhook_endpoints AS e ON e.id = due.endpoint_id
        WHERE d.endpoint_id = due.endpoint_id AND d.event_id = due.event_id
        RETURNING d.endpoint_id, d.event_id, e.owner_id, d.kind, d.subject_id, d.member_id, d.occurred_at,
          d.attempts, d.tries, e.url, e.secret,
          CASE WHEN e.old_secret_expires_at > now() THEN e.old_secret END AS old_secret
        """,
        per_endpoint=_PER_ENDPOINT,
        most=most,
        lease=LEASE_SECONDS,
    )


async def finish_attempt(
    connection: Connection,
    delivery: DueDelivery,
    *,
    state: DeliveryState,
    wait_seconds: float,
    started_at: datetime,
    duration_ms: int,
    status: int | None,
    error: str | None,
) -> None:
    """Keeps what came of an attempt, and what comes next: `wait_seconds` count while it is PENDING.

    Nothing is kept when another worker has the delivery by now, because this one took too long.
    """
    await execute(
        connection,
        """
        WITH finished AS (
          UPDATE webhook_deliveries SET
            state = %(state)s,
            sending_until = NULL,
            next_attempt_at = CASE
              WHEN %(state)s = 'PENDING' THEN now() + make_interval(secs => %(wait)s)
            END,
            completed_at = CASE WHEN %(state)s <> 'PENDING' THEN now() END
          WHERE endpoint_id = %(endpoint_id)s AND event_id = %(event_id)s AND attempts = %(number)s
            AND state = 'PENDING'
          RETURNING endpoint_id, event_id
        )
        INSERT INTO webhook_attempts (endpoint_id, event_id, number, started_at, duration_ms, status, error)
        SELECT endpoint_id, event_id, %(number)s, %(started_at)s, %(duration_ms)s, %(status)s, %(error)s
        FROM finished
        """,
        endpoint_id=delivery.endpoint_id,
        event_id=delivery.event_id,
        number=delivery.attempts,
        state=state,
        wait=wait_seconds,
        started_at=started_at,
        duration_ms=duration_ms,
        status=status,
        error=error,
    )


async def postpone(connection: Connection, delivery: DueDelivery, *, seconds: float) -> None:
    """Gives a delivery back that could not be sent for a reason of ours: no attempt was made."""
    await execute(
        connection,
        """
        UPDATE webhook_deliveries SET
          attempts = attempts - 1,
          tries = tries - 1,
          sending_until = NULL,
          next_attempt_at = now() + make_interval(secs => %(seconds)s)
        WHERE endpoint_id = %(endpoint_id)s AND event_id = %(event_id)s AND attempts = %(number)s
          AND state = 'PENDING'
        """,
        endpoint_id=delivery.endpoint_id,
        event_id=delivery.event_id,
        number=delivery.attempts,
        seconds=seconds,
    )


async def note_success(connection: Connection, endpoint_id: UUID) -> None:
    """The endpoint does not fail any more; its row is written only when it did."""
    await execute(
        connection,
        "UPDATE webhook_endpoints SET failing_since = NULL WHERE id = %(id)s AND failing_since IS NOT NULL",
        id=endpoint_id,
    )


async def note_failure(connection: Connection, endpoint_id: UUID) -> None:
    """The endpoint fails from now on, unless it does already."""
    await execute(
        connection,
        "UPDATE webhook_endpoints SET failing_since = now() WHERE id = %(id)s AND failing_since IS NULL",
        id=endpoint_id,
    )


async def note_gone(connection: Connection, endpoint_id: UUID) -> None:
    """The receiver said that it is gone for good: nothing more is sent until staff enable the endpoint."""
    await execute(
        connection,
        """
        UPDATE webhook_endpoints SET enabled = false, gone_at = now(), version = version + 1
        WHERE id = %(id)s AND enabled
        """,
        id=endpoint_id,
    )


async def forget_old_deliveries(connection: Connection) -> int:
    """Removes deliveries of over 30 days ago, whatever became of them; returns how many, 1,000 at most."""
    return await execute(
        connection,
        """
        DELETE FROM webhook_deliveries WHERE (endpoint_id, event_id) IN (
          SELECT endpoint_id, event_id FROM webhook_deliveries
          WHERE created_at < now() - make_interval(days => %(days)s)
          ORDER BY created_at LIMIT 1000 FOR UPDATE SKIP LOCKED
        )
        """,
        days=KEPT_DAYS,
    )


async def forget_old_secrets(connection: Connection) -> int:
    """Removes secrets that sign no more; returns how many."""
    return await execute(
        connection,
        """
        UPDATE webhook_endpoints SET old_secret = NULL, old_secret_expires_at = NULL
        WHERE old_secret_expires_at <= now()
        """,
    )


@dataclass(frozen=True, slots=True)
class _Deleted:
    id: UUID


async def forget_deleted_endpoints(connection: Connection) -> int:
    """Removes deliveries of an endpoint that staff deleted, 1,000 at most, and then the endpoint.

    Returns how much was removed. Not at once: who wrote a delivery meanwhile may not have committed.
    """
    gone = await fetch_first(
        connection,
        _Deleted,
        """
        SELECT id FROM webhook_endpoints WHERE deleted_at < now() - interval '10 min'
        ORDER BY deleted_at LIMIT 1 FOR UPDATE SKIP LOCKED
        """,
    )
    if gone is None:
        return 0
    deliveries = await execute(
        connection,
        """
        DELETE FROM webhook_deliveries WHERE (endpoint_id, event_id) IN (
          SELECT endpoint_id, event_id FROM webhook_deliveries
          WHERE endpoint_id = %(id)s ORDER BY event_id LIMIT 1000
        )
        """,
        id=gone.id,
    )
    return deliveries or await execute(
        connection, "DELETE FROM webhook_endpoints WHERE id = %(id)s", id=gone.id
    )
