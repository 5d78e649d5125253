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

    Every service refuses them within two seconds of the commit. Enabling, disabling or deleting the till
    belongs into the same transaction, before this: what is returned, and published, is what holds then.
    """
    await execute(
        connection,
        """
        UPDATE clients SET token_series = gen_random_uuid(), token_version = token_version + 1
        WHERE id = %(id)s
        """,
        id=till_id,
    )
    return EndedTokens(await session_state(connection, till_id))
