"""Holding an order's code for a gift, and giving it to the recipient or back to its owner."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.sql import SQL

from services.common.db import Connection, execute, fetch_first, fetch_value
from services.common.errors import DomainError
from services.promos.codes import refusals

_GIVABLE = SQL(
    """
    c.state = 'ASSIGNED' AND c.uses = 0
    AND (c.expires_at IS NULL OR now() < c.expires_at)
    AND (s.expires_at IS NULL OR now() < s.expires_at)
    """
)
"""Whether a code `c` of the set `s` is worth giving to another member."""


@dataclass(frozen=True, slots=True)
class _Held:
    expires_at: datetime | None


_HOLD = SQL(
    """
    UPDATE codes c SET gift_id = %(gift_id)s
    FROM code_sets s
    WHERE c.id = %(code_id)s AND s.id = c.code_set_id AND c.owner_member_id = %(owner)s
      AND c.order_id IS NOT NULL AND c.gift_id IS NULL AND {givable}
    RETURNING least(c.expires_at, s.expires_at) AS expires_at
    """
).format(givable=_GIVABLE)


async def hold_code(connection: Connection, *, gift_id: UUID, code_id: UUID, owner: UUID) -> datetime | None:
    """Holds an unused code of `owner` for a gift, once; returns until when it can be used.

    Raises CODE_NOT_VALID, CODE_ALREADY_USED, CODE_EXPIRED, CODE_VOID, CODE_ON_HOLD while it is held for
    another gift, and GIFT_ENDED when this gift was returned before.
    """
    new = await execute(
        connection,
        """
        INSERT INTO code_holds (gift_id, code_id, state) VALUES (%(gift_id)s, %(code_id)s, 'HELD')
        ON CONFLICT (gift_id) DO NOTHING
        """,
        gift_id=gift_id,
        code_id=code_id,
    )
    if not new:
        return await _held_before(connection, gift_id)
    held = await fetch_first(connection, _Held, _HOLD, gift_id=gift_id, code_id=code_id, owner=owner)
    if held is None:
        raise await _why_not(connection, code_id, owner)
    return held.expires_at


async def _held_before(connection: Connection, gift_id: UUID) -> datetime | None:
    held = await fetch_first(
        connection,
        _Held,
        """
        SELECT least(c.expires_at, s.expires_at) AS expires_at
        FROM code_holds h JOIN codes c ON c.id = h.code_id JOIN code_sets s ON s.id = c.code_set_id
        WHERE h.gift_id = %(gift_id)s AND h.state <> 'RETURNED'
        """,
        gift_id=gift_id,
    )
    if held is None:
        raise refusals.gift_ended(gift_id)
    return held.expires_at


_TRANSFER = SQL(
    """
    UPDATE codes c SET gift_id = NULL, owner_member_id = %(new_owner)s
    FROM code_sets s
    WHERE c.id = %(code_id)s AND s.id = c.code_set_id AND c.gift_id = %(gift_id)s AND {givable}
    """
).format(givable=_GIVABLE)


async def transfer_code(connection: Connection, *, gift_id: UUID, new_owner: UUID) -> None:
    """Gives the code that a gift holds to its new owner, once.

    Raises GIFT_ENDED, and CODE_VOID or CODE_EXPIRED for one that is worth nothing any more.
    """
    code_id: UUID | None = await fetch_value(
        connection,
        """
        UPDATE code_holds SET state = 'TRANSFERRED', new_owner_id = %(new_owner)s, ended_at = now()
        WHERE gift_id = %(gift_id)s AND state = 'HELD'
        RETURNING code_id
        """,
        gift_id=gift_id,
        new_owner=new_owner,
    )
    if code_id is None:
        if not await _was_transferred(connection, gift_id, new_owner):
            raise refusals.gift_ended(gift_id)
        return
    if not await execute(connection, _TRANSFER, gift_id=gift_id, code_id=code_id, new_owner=new_owner):
        raise await _why_not(connection, code_id)


async def return_code(connection: Connection, gift_id: UUID) -> None:
    """Gives the code that a gift holds back to its owner, and refuses the gift for ever, held or not.

    A repetition does nothing. Raises GIFT_ACCEPTED when the code was transferred.
    """
    ended = await execute(
        connection,
        """
        INSERT INTO code_holds AS h (gift_id, state, ended_at) VALUES (%(gift_id)s, 'RETURNED', now())
        ON CONFLICT (gift_id) DO UPDATE SET state = 'RETURNED', ended_at = now() WHERE h.state = 'HELD'
        """,
        gift_id=gift_id,
    )
    if ended:
        await execute(
            connection,
            """
            UPDATE codes SET gift_id = NULL
            WHERE id = (SELECT code_id FROM code_holds WHERE gift_id = %(gift_id)s)
              AND gift_id = %(gift_id)s
            """,
            gift_id=gift_id,
        )
    elif await _was_transferred(connection, gift_id):
        raise refusals.gift_accepted(gift_id)


async def _was_transferred(connection: Connection, gift_id: UUID, new_owner: UUID | None = None) -> bool:
    return bool(
        await fetch_value(
            connection,
            """
            SELECT EXISTS (
              SELECT FROM code_holds WHERE gift_id = %(gift_id)s AND state = 'TRANSFERRED'
                AND new_owner_id = coalesce(%(new_owner)s, new_owner_id)
            )
            """,
            gift_id=gift_id,
            new_owner=new_owner,
        )
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    state: str
    redeemed_at: datetime | None
    expires_at: datetime | None
    expired: bool | None


async def _why_not(connection: Connection, code_id: UUID, owner: UUID | None = None) -> DomainError:
    """Returns why a code can not be given away; with `owner`, only of one of this member's."""
    seen = await fetch_first(
        connection,
        _Seen,
        """
        SELECT
          c.state, least(c.expires_at, s.expires_at) AS expires_at,
          least(c.expires_at, s.expires_at) <= now() AS expired,
          CASE WHEN c.uses > 0 THEN (
            SELECT max(redeemed_at) FROM redemptions WHERE code_id = c.id AND cancelled_at IS NULL
          ) END AS redeemed_at
        FROM codes c JOIN code_sets s ON s.id = c.code_set_id
        WHERE c.id = %(id)s AND c.order_id IS NOT NULL
          AND c.owner_member_id = coalesce(%(owner)s, c.owner_member_id)
        """,
        id=code_id,
        owner=owner,
    )
    if seen is None:
        return refusals.code_not_valid()
    if seen.state == "VOID":
        return refusals.code_void(code_id)
    if seen.redeemed_at is not None:
        return refusals.code_already_used(code_id, seen.redeemed_at)
    if seen.expired:
        assert seen.expires_at is not None, "what expired had an end"
        return refusals.code_expired(code_id, seen.expires_at)
    return refusals.code_on_hold(code_id)
