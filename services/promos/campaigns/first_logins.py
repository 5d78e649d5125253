"""What follows for campaigns from what happens to a member: first logins win places."""

from __future__ import annotations

from typing import assert_never
from uuid import UUID

from services.common.db import Connection, fetch_value
from services.common.ids import new_id
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
from services.promos.campaigns.queries import open_campaigns
from services.promos.campaigns.rewards import codes_won
from services.promos.codes import discard_code, give_code, void_unused_codes


async def on_member_event(connection: Connection, event: MemberEvent) -> None:
    """Does what follows from an event that is news, in the transaction that keeps it.

    A first login gets a place in every campaign that has one for that moment, unless the phone number is
    that of somebody who had a first login under another account; without a number it gets one only where
    the campaign includes such members. Arrival is the order in which these
    transactions commit. Closing the account takes back the codes that were won and not used; places that
    were won stay taken.
    """
    match event:
        case Registered():
            pass  # comes before the first login and wins nothing alone, so the number is not yet kept
        case FirstLogin():
            if await _keep_phone(connection, event):
                for campaign_id in await open_campaigns(
                    connection, event.occurred_at, has_phone=event.phone_hash is not None
                ):
                    await _take_place(connection, campaign_id, event)
        case Closed():
            await _keep_phone(connection, event)
            await void_unused_codes(connection, await codes_won(connection, event.member_id))
        case PhoneChanged() | ConsentChanged() | Suspended() | Restored():
            await _keep_phone(connection, event)
        case _:
            assert_never(event)


async def _keep_phone(connection: Connection, event: MemberEvent) -> bool:
    """Keeps the phone number for ever; returns whether nobody else was known by it."""
    if event.phone_hash is None:
        return True
    own = await fetch_value(
        connection,
        """
        INSERT INTO known_phones AS k (phone_hash, member_id) VALUES (%(phone_hash)s, %(member_id)s)
        ON CONFLICT (phone_hash) DO UPDATE SET member_id = k.member_id
        RETURNING member_id = %(member_id)s
        """,
        phone_hash=event.phone_hash,
        member_id=event.member_id,
    )
    return bool(own)


async def _take_place(connection: Connection, campaign_id: UUID, event: FirstLogin) -> None:
    """Takes the next place of a campaign, unless none is left or it stopped meanwhile.

    The code is made first: from the statement that takes the place to the commit, the campaign's row is
    locked and all others wait.
    """
    code_id = await give_code(connection, code_set_id=campaign_id, owner_member_id=event.member_id)
    rank = await fetch_value(
        connection,
        """
        WITH place AS (
          UPDATE campaigns SET places_taken = places_taken + 1
          WHERE id = %(campaign_id)s AND state = 'ACTIVE' AND places_taken < places
            AND starts_at <= %(logged_in_at)s AND (ends_at IS NULL OR %(logged_in_at)s < ends_at)
            AND (includes_members_without_phone OR %(has_phone)s)
          RETURNING id, places_taken
        )
        INSERT INTO winners (campaign_id, rank, id, member_id, code_id, logged_in_at)
        SELECT id, places_taken, %(reward_id)s, %(member_id)s, %(code_id)s, %(logged_in_at)s FROM place
        RETURNING rank
        """,
        campaign_id=campaign_id,
        reward_id=new_id(),
        member_id=event.member_id,
        code_id=code_id,
        logged_in_at=event.occurred_at,
        has_phone=event.phone_hash is not None,
    )
    if rank is None:
        await discard_code(connection, code_id)
