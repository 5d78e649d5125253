"""Keeping what identity tells of a member."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from services.common.db import Connection, fetch_value
from services.common.members import (
    ACTIVE,
    CLOSED,
    SUSPENDED,
    Closed,
    ConsentChanged,
    FirstLogin,
    MemberEvent,
    OnMemberEvent,
    PhoneChanged,
    Registered,
    Restored,
    Suspended,
)


async def apply_member_event(
    connection: Connection, event: MemberEvent, features: Sequence[OnMemberEvent]
) -> None:
    """Keeps an event, and lets each feature do what follows from it if it is news."""
    if await keep_member_event(connection, event):
        for on_member_event in features:
            await on_member_event(connection, event)


async def keep_member_event(connection: Connection, event: MemberEvent) -> bool:
    """Keeps an event unless this version or a later one was kept; returns whether it is news.

    A first login of a member who had one is none.
    """
    never_before: bool | None = await fetch_value(
        connection,
        """
        INSERT INTO members AS m (member_id, version, first_login_at, status)
        VALUES (%(member_id)s, %(version)s, %(first_login_at)s, coalesce(%(status)s, 'ACTIVE'))
        ON CONFLICT (member_id) DO UPDATE SET
          version = excluded.version,
          first_login_at = coalesce(m.first_login_at, excluded.first_login_at),
          status = coalesce(%(status)s, m.status)
        WHERE m.version < excluded.version AND m.status <> 'CLOSED'
        RETURNING old.first_login_at IS NULL
        """,
        member_id=event.member_id,
        version=event.version,
        first_login_at=event.occurred_at if isinstance(event, FirstLogin) else None,
        status=_status_after(event),
    )
    if never_before is None:
        return False
    return never_before or not isinstance(event, FirstLogin)


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
