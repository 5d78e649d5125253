"""Ending logins."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.common.db import Connection, execute
from services.common.sessions import SessionState
from services.identity.accounts import count_session_change, forget_places
from services.identity.sessions.queries import session_state


@dataclass(frozen=True)
class EndedSessions:
    """Who is logged in now."""

    logins: SessionState | None


async def end_sessions(
    connection: Connection, *, account_id: UUID, only: UUID | None = None, reason: str = "ENDED"
) -> EndedSessions:
    """Ends all of an account's logins, or the one given. Ending what has ended changes nothing."""
    await count_session_change(connection, account_id)
    await execute(
        connection,
        """
        UPDATE sessions SET ended_at = now(), end_reason = %(reason)s
        WHERE account_id = %(account_id)s AND ended_at IS NULL
          AND (%(only)s::uuid IS NULL OR id = %(only)s::uuid)
        """,
        account_id=account_id,
        only=only,
        reason=reason,
    )
    return EndedSessions(await session_state(connection, account_id))


async def forget_devices(connection: Connection, account_id: UUID) -> None:
    """Erases on which devices the logins of an account were, and from where."""
    await forget_places(connection, account_id)
    await execute(connection, "UPDATE sessions SET device_id = '' WHERE account_id = %(id)s", id=account_id)


async def forget_old_sessions(connection: Connection) -> int:
    """Removes up to 1,000 logins that expired over a day ago, with their tokens; returns how many."""
    return await execute(
        connection,
        """
        DELETE FROM sessions WHERE id IN (
          SELECT id FROM sessions WHERE expires_at < now() - interval '1 day' LIMIT 1000
        )
        """,
    )
