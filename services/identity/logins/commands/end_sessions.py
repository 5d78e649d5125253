"""Ending logins."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text

from services.common.legacy_db import Connection
from services.common.sessions import SessionState
from services.identity.logins.queries import session_state


@dataclass(frozen=True)
class EndedSessions:
    """Who is logged in now."""

    logins: SessionState | None


async def end_sessions(
    connection: Connection, *, account_id: UUID, only: UUID | None = None, reason: str = "ENDED"
) -> EndedSessions:
    """Ends all of an account's logins, or the one given. Ending what has ended changes nothing."""
    await connection.execute(
        text("UPDATE accounts SET session_version = session_version + 1 WHERE id = :id"), {"id": account_id}
    )
    await connection.execute(
        text(
            "UPDATE sessions SET ended_at = now(), end_reason = :reason WHERE account_id = :account_id"
            " AND ended_at IS NULL AND (CAST(:only AS uuid) IS NULL OR id = :only)"
        ),
        {"account_id": account_id, "only": only, "reason": reason},
    )
    return EndedSessions(await session_state(connection, account_id))


async def forget_old_sessions(connection: Connection) -> int:
    """Removes up to 1,000 logins that expired over a day ago, with their tokens; answers how many."""
    removed = await connection.execute(
        text(
            "DELETE FROM sessions WHERE id IN"
            " (SELECT id FROM sessions WHERE expires_at < now() - interval '1 day' LIMIT 1000)"
        )
    )
    return int(removed.rowcount)
