"""What follows for claims from what happens to a member: consent is kept, and closing voids unused codes."""

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
from services.promos.claims.queries import codes_claimed
from services.promos.codes import void_unused_codes


async def on_member_event(connection: Connection, event: MemberEvent) -> None:
    """Does what follows from an event that is news, in the transaction that keeps it.

    Consent is that of the newest event that changed it. A claim of an account that is closed stays, with the
    member's id alone.
    """
    match event:
        case ConsentChanged():
            await _keep_consent(connection, event)
        case Registered():
            if event.shares_contact:  # without a row the answer is no, as of most who register
                await _keep_consent(connection, event)
        case Closed():
            await execute(
                connection,
                "DELETE FROM member_consents WHERE member_id = %(member_id)s",
                member_id=event.member_id,
            )
            await void_unused_codes(connection, await codes_claimed(connection, event.member_id))
        case FirstLogin() | PhoneChanged() | Suspended() | Restored():
            pass
        case _:
            assert_never(event)


async def _keep_consent(connection: Connection, event: ConsentChanged | Registered) -> None:
    await execute(
        connection,
        """
        INSERT INTO member_consents AS c (member_id, version, shares_contact)
        VALUES (%(member_id)s, %(version)s, %(shares_contact)s)
        ON CONFLICT (member_id) DO UPDATE SET
          version = excluded.version, shares_contact = excluded.shares_contact
        WHERE c.version < excluded.version
        """,
        member_id=event.member_id,
        version=event.version,
        shares_contact=event.shares_contact,
    )
