"""Ending the tokens of a till."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.common.db import Connection, execute
from services.common.sessions import SessionState
from services.identity.sessions import session_state


@dataclass(frozen=True)
class EndedTokens:
    """Which tokens of a till are good now."""

    logins: SessionState | None


async def end_till_tokens(connection: Connection, till_id: UUID) -> EndedTokens:
    """Ends all tokens that a till has, and locks its row; to be run by `Logins.run`.

    Every service refuses them within two seconds of the commit. Disabling a till comes before this in the
    same transaction, and deleting its row after it: the row counts the versions by which what is published
    now replaces what was published before.
    """
    ended = await execute(
        connection,
        """
        UPDATE clients SET token_series = gen_random_uuid(), token_version = token_version + 1
        WHERE id = %(id)s
        """,
        id=till_id,
    )
    assert ended, "a till's row is there until its tokens have ended"
    return EndedTokens(await session_state(connection, till_id))
