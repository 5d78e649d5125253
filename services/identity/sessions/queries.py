"""Reads of logins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.common.db import Connection, fetch_all, fetch_value
from services.common.sessions import UNKNOWN, SessionState


@dataclass(frozen=True, slots=True)
class _StateRow:
    subject_id: str
    version: int
    status: str
    session_ids: list[str]
    epoch: str


async def session_state(connection: Connection, account_id: UUID) -> SessionState:
    """Returns which logins of an account are active."""
    [state] = await session_states(connection, [account_id])
    return state


async def session_states(connection: Connection, account_ids: Sequence[UUID]) -> list[SessionState]:
    """Returns which logins of each of these accounts are active, in their order."""
    rows = await fetch_all(
        connection,
        _StateRow,
        """
        SELECT
          wanted.id::text AS subject_id,
          coalesce(a.session_version, 0) AS version,
          coalesce(lower(a.status), %(unknown)s) AS status,
          array(
            SELECT s.id::text FROM sessions s
            WHERE s.account_id = a.id AND s.ended_at IS NULL AND s.expires_at > now()
          ) AS session_ids,
          e.epoch::text AS epoch
        FROM session_epochs e
        CROSS JOIN unnest(%(ids)s::uuid[]) AS wanted (id)
        LEFT JOIN login_accounts a ON a.id = wanted.id
        """,
        ids=list(account_ids),
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
