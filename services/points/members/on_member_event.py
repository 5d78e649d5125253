"""What follows in points from what happens to a member."""

from __future__ import annotations

from typing import assert_never

from services.common.db import Connection, execute
from services.common.members import (
    Closed,
    ConsentChanged,
    FirstLogin,
    MemberEvent,
    PhoneChanged,
    Registered,
    Restored,
    Suspended,
)
from services.points.ledger import close_account


async def on_member_event(connection: Connection, event: MemberEvent) -> None:
    """Drops the codes of a member who is out, so that tills are refused; forfeits the points when gone."""
    match event:
        case Suspended() | Closed():
            # A statement of its own: it must see the codes that were kept until the member's row was locked.
            await execute(
                connection,
                "DELETE FROM member_codes WHERE member_id = %(member_id)s",
                member_id=event.member_id,
            )
            if isinstance(event, Closed):
                await close_account(connection, event.member_id, event.id)
        case Registered() | FirstLogin() | PhoneChanged() | ConsentChanged() | Restored():
            pass
        case _:
            assert_never(event)
