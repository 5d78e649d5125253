"""Reads of logins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.common.db import Connection, fetch_all, fetch_value
from services.common.sessions import ACTIVE, SUSPENDED, UNKNOWN, SessionState


@dataclass(frozen=True, slots=True)
class _StateRow:
    subject_id: str
    version: int
    status: str
    session_ids: list[str]
    epoch: str


async def session_state(connection: Connection, account_id: UUID) -> SessionState:
    """Returns which logins of an account are active, or which series of a till's tokens."""
    [state] = await session_states(connection, [account_id])
    return state


async def session_states(connection: Connection, account_ids: Sequence[UUID]) -> list[SessionState]:
    """Returns which logins of each of these accounts are active, in their order.

    A till has one series of tokens in place of logins, while it is enabled.
    """
    rows = await fetch_all(
        connection,
        _StateRow,
        """
        SELECT
          wanted.id::text AS subject_id,
          coalesce(a.session_version, c.token_version, 0) AS version,
          CASE
            WHEN a.id IS NOT NULL THEN lower(a.status)
            WHEN c.enabled THEN %(active)s
            WHEN c.id IS NOT NULL THEN %(suspended)s
            ELSE %(unknown)s
          END AS status,
          CASE
            WHEN c.enabled THEN ARRAY[c.token_series::text]
            ELSE array(
              SELECT s.id::text FROM sessions s
              WHERE s.account_id = a.id AND s.ended_at IS NULL AND s.expires_at > now()
            )
          END AS session_ids,
          e.epoch::text AS epoch
        FROM session_epochs e
        CROSS JOIN unnest(%(ids)s::uuid[]) AS wanted (id)
        LEFT JOIN login_accounts a ON a.id = wanted.id
        LEFT JOIN clients c ON c.id = wanted.id
        """,
        ids=list(account_ids),
        active=ACTIVE,
        suspended=SUSPENDED,
        unknown=UNKNOWN,
    )
    found = {
        row.subject_id: SessionState(
            row.subject_id, row.version, row.status, frozenset(row.session_ids), row.epoch
        )
        for row in rows
    }
    return [found[str(account_id)] for account_id in account_ids]


async def session_epoch(connection: Connection) -> str:
    """Returns the epoch that cached states must name to be valid."""
    return str(await fetch_value(connection, "SELECT epoch FROM session_epochs"))
