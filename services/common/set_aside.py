"""What could not be done, and was set aside so that all else goes on.

An order, a member's expiry or a job that fails by a defect gets a row of `set_aside`. It is left alone for
growing waits, and tried again for ever; the row goes when it succeeds. Messages of the outbox that their
receivers can not take are set aside where they are. Staff see all of it in one list, and may have it tried at
once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString
from typing import Literal as OneOf

from psycopg.sql import SQL, Composed, Literal

from services.common.db import Connection, execute, fetch_one, fetch_value, fetch_values
from services.common.errors import DomainError
from services.common.lists import Listing, SortKey, parse_moment

Kind = OneOf["ORDER", "EXPIRY", "JOB"]
"""What has rows of its own here."""
ORDER: Final = "ORDER"
"""Its id is that of an order."""
EXPIRY: Final = "EXPIRY"
"""Points of a member that are due; its id is the member's."""
JOB: Final = "JOB"
"""Its id is that of a job in the queue."""

MOST_KEPT_IN_MIND = 10_000
"""Of one kind. More that wait are not told apart from what is well, and fail once more."""
_FIRST_SECONDS, _LONGEST_SECONDS = 10, 6 * 3600

_SET_ASIDE = """
INSERT INTO set_aside AS s (kind, id, error, next_attempt_at)
VALUES (%(kind)s, %(id)s, %(error)s, now() + make_interval(secs => %(first)s))
ON CONFLICT (kind, id) DO UPDATE SET
  attempts = s.attempts + 1,
  error = excluded.error,
  next_attempt_at = now() + make_interval(secs => least(%(first)s * 2 ^ least(s.attempts, 20), %(longest)s))
RETURNING attempts
"""
FORGET: Final = "DELETE FROM set_aside WHERE kind = %(kind)s AND id = %(id)s"
"""Takes one out: it succeeded."""
KEEP_FAILED_JOB: Final = """
INSERT INTO set_aside AS s (kind, id, error) VALUES ('JOB', %(id)s, %(error)s)
ON CONFLICT (kind, id) DO UPDATE SET attempts = s.attempts + 1, error = excluded.error
"""
"""Notes that a job failed. The queue has its time, and waits for it."""


async def set_aside(connection: Connection, kind: Kind, subject_id: str, error: str) -> int:
    """Sets something aside for 10, 20, 40 ... seconds, at most 6 hours; returns how often it has failed.

    `error` is for staff and names nobody: see `errors.described`.
    """
    attempts: int = await fetch_value(
        connection,
        _SET_ASIDE,
        kind=kind,
        id=subject_id,
        error=error,
        first=_FIRST_SECONDS,
        longest=_LONGEST_SECONDS,
    )
    return attempts


async def forget_set_aside(connection: Connection, kind: Kind, subject_ids: Sequence[str]) -> None:
    """Takes out what succeeded."""
    await execute(
        connection,
        "DELETE FROM set_aside WHERE kind = %(kind)s AND id = ANY(%(ids)s)",
        kind=kind,
        ids=list(subject_ids),
    )


def waits(kind: Kind, subject_id: LiteralString) -> Composed:
    """Returns a condition: that what an expression names is set aside, and its time has not come."""
    return SQL(
        """
        EXISTS (
          SELECT FROM set_aside AS s WHERE s.kind = {kind} AND s.id = {id} AND s.next_attempt_at > now()
        )
        """
    ).format(kind=Literal(kind), id=SQL(subject_id))


def forgetting(kind: Kind, source: LiteralString, subject_id: LiteralString) -> Composed:
    """Returns a part of a statement that takes out what the rows of a source name: it succeeded."""
    return SQL("DELETE FROM set_aside AS s USING {source} WHERE s.kind = {kind} AND s.id = {id}").format(
        source=SQL(source), kind=Literal(kind), id=SQL(subject_id)
    )


async def ids_set_aside(connection: Connection, kind: Kind, *, due: bool) -> Sequence[str]:
    """Returns up to 10,000 ids of a kind: of those that still wait, or of those whose time has come."""
    return await fetch_values(
        connection,
        """
        SELECT id FROM set_aside WHERE kind = %(kind)s AND (next_attempt_at <= now()) = %(due)s
        ORDER BY next_attempt_at LIMIT %(limit)s
        """,
        kind=kind,
        due=due,
        limit=MOST_KEPT_IN_MIND,
    )


@dataclass(frozen=True, slots=True)
class SetAsideRow:
    """Something that is set aside. `next_attempt_at` is None while it is being tried again."""

    key: str
    kind: str
    id: str
    set_aside_at: datetime
    attempts: int
    next_attempt_at: datetime | None
    error: str


# Both tables hold what is wrong now: few rows, whatever grows with members or sales.
_ALL = """
(
  SELECT kind || ':' || id AS key, kind, id, set_aside_at, attempts, error,
    CASE WHEN kind = 'JOB' THEN (
      SELECT scheduled_at FROM procrastinate_jobs AS j WHERE j.id = s.id::bigint AND j.status = 'todo'
    ) ELSE next_attempt_at END AS next_attempt_at
  FROM set_aside AS s
  UNION ALL
  SELECT 'MESSAGE:' || id, CASE topic WHEN 'audit' THEN 'AUDIT_ENTRY' ELSE 'MEMBER_EVENT' END, id::text,
    set_aside_at, attempts, error, next_attempt_at
  FROM outbox WHERE set_aside_at IS NOT NULL
) AS a
"""


def _parse_key(text: str) -> str:
    """Returns the key in a page token. Raises ValueError unless the database can hold it."""
    if "\0" in text:
        raise ValueError(text)
    return text


SET_ASIDE = Listing(
    row=SetAsideRow,
    columns="key, kind, id, set_aside_at, attempts, next_attempt_at, error",
    source=_ALL,
    filters={"kind": "kind = %(kind)s"},
    keys={"set_aside_at": SortKey("set_aside_at", "set_aside_at", parse_moment)},
    key=SortKey("key", "key", _parse_key),
    default_order="set_aside_at",
)
"""All that is set aside in a service, the oldest first."""


async def retry_now(connection: Connection, *, kind: str | None, subject_id: str | None) -> int:
    """Has what is set aside tried at once: all, that of a kind, or one; returns how many.

    Raises SET_ASIDE_NOT_FOUND when one was asked for that is not set aside.
    """
    wanted = {"kind": kind, "id": subject_id}
    own = await execute(
        connection,
        """
        UPDATE set_aside SET next_attempt_at = now()
        WHERE (%(kind)s::text IS NULL OR kind = %(kind)s) AND (%(id)s::text IS NULL OR id = %(id)s)
        """,
        **wanted,
    )
    await execute(
        connection,
        """
        UPDATE procrastinate_jobs SET scheduled_at = now()
        WHERE status = 'todo' AND scheduled_at > now() AND id IN (
          SELECT id::bigint FROM set_aside
          WHERE kind = 'JOB'
            AND (%(kind)s::text IS NULL OR kind = %(kind)s) AND (%(id)s::text IS NULL OR id = %(id)s)
        )
        """,
        **wanted,
    )
    messages = await execute(
        connection,
        """
        UPDATE outbox SET next_attempt_at = now()
        WHERE set_aside_at IS NOT NULL AND next_attempt_at IS NOT NULL
          AND (%(id)s::text IS NULL OR id::text = %(id)s)
          AND (
            %(kind)s::text IS NULL
            OR %(kind)s = CASE topic WHEN 'audit' THEN 'AUDIT_ENTRY' ELSE 'MEMBER_EVENT' END
          )
        """,
        **wanted,
    )
    if subject_id is not None and not own + messages:
        raise DomainError("SET_ASIDE_NOT_FOUND", "nothing of this id is set aside", id=subject_id)
    return own + messages


@dataclass(frozen=True, slots=True)
class SetAsideCount:
    """How much is set aside, and since when the oldest is."""

    count: int
    oldest: datetime | None


async def count_set_aside(connection: Connection) -> SetAsideCount:
    """Returns how much is set aside."""
    return await fetch_one(
        connection,
        SetAsideCount,
        """
        SELECT sum(count)::bigint AS count, min(oldest) AS oldest FROM (
          SELECT count(*), min(set_aside_at) AS oldest FROM set_aside
          UNION ALL
          SELECT count(*), min(set_aside_at) FROM outbox WHERE set_aside_at IS NOT NULL
        ) AS kept
        """,
    )
