"""Keeping what identity tells of a member."""

from __future__ import annotations

from typing import assert_never

from services.common.db import Connection, execute
from services.common.members import (
    ACTIVE,
    CLOSED,
    SUSPENDED,
    Closed,
    ConsentChanged,
    FirstLogin,
    MemberEvent,
    PhoneChanged,
    Registered,
    Restored,
    Suspended,
)


async def keep_member_event(connection: Connection, event: MemberEvent) -> bool:
    """Keeps an event unless this version or a later one was kept; returns whether it was new."""
    kept = await execute(
        connection,
        """
        INSERT INTO members AS m (member_id, version, registered_at, status)
        VALUES (%(member_id)s, %(version)s, %(registered_at)s, coalesce(%(status)s, 'ACTIVE'))
        ON CONFLICT (member_id) DO UPDATE SET
          version = excluded.version,
          registered_at = coalesce(m.registered_at, excluded.registered_at),
          status = coalesce(%(status)s, m.status)
        WHERE m.version < excluded.version AND m.status <> 'CLOSED'
        """,
        member_id=event.member_id,
        version=event.version,
        registered_at=event.occurred_at if isinstance(event, Registered) else None,
        status=_status_after(event),
    )
    return kept == 1


def _status_after(event: MemberEvent) -> str | None:
    match event:
        case Suspended():
            return SUSPENDED
        case Restored():
            return ACTIVE
        case Closed():
            return CLOSED
        case Registered() | FirstLogin() | PhoneChanged() | ConsentChanged():
            return None
        case _:
            assert_never(event)
