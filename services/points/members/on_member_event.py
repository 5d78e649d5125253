"""What follows for the codes that are kept from what happens to a member."""

from __future__ import annotations

from services.common.db import Connection, execute
from services.common.members import Closed, MemberEvent, Suspended


async def on_member_event(connection: Connection, event: MemberEvent) -> None:
    """Drops the codes of a member who is suspended or gone, so that tills are refused."""
    if isinstance(event, Suspended | Closed):
        # A statement of its own: it must see the codes that were kept until the member's row was locked.
        await execute(
            connection,
            "DELETE FROM member_codes WHERE member_id = %(member_id)s",
            member_id=event.member_id,
        )
