"""Hearing of a member, and giving places to first logins."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from services.common.db import Connection
from services.common.errors import overloaded
from services.common.ids import new_id
from services.promos import codes, queries

_CODE_TRIES = 10


async def apply_member_event(
    connection: Connection, *, member_id: UUID, version: int, first_login_at: datetime | None
) -> None:
    """Applies an event that is newer than what is known of the member.

    With the member's first `first_login_at` it gives a place in every campaign that has one for that
    moment. Arrival is the order in which these transactions commit.
    """
    result = await connection.execute(
        text(
            "INSERT INTO members AS m (member_id, version, first_login_at)"
            " VALUES (:member_id, :version, :first_login_at) ON CONFLICT (member_id) DO UPDATE"
            " SET version = EXCLUDED.version,"
            " first_login_at = coalesce(m.first_login_at, EXCLUDED.first_login_at)"
            " WHERE m.version < EXCLUDED.version RETURNING old.first_login_at IS NULL AS never_before"
        ),
        {"member_id": member_id, "version": version, "first_login_at": first_login_at},
    )
    applied = result.first()
    if applied is None or first_login_at is None or not applied.never_before:
        return
    for campaign_id in await queries.open_campaigns(connection, first_login_at):
        rank = await _take_place(connection, campaign_id, first_login_at)
        if rank is not None:
            await _give_code(connection, campaign_id, rank, member_id, first_login_at)


async def _take_place(connection: Connection, campaign_id: UUID, moment: datetime) -> int | None:
    """The rank of the place taken, or None when none is left or the campaign stopped meanwhile."""
    result = await connection.execute(
        text(
            "UPDATE campaigns SET places_taken = places_taken + 1 WHERE id = :id AND state = 'ACTIVE'"
            " AND places_taken < places AND starts_at <= :moment AND (ends_at IS NULL OR :moment < ends_at)"
            " RETURNING places_taken"
        ),
        {"id": campaign_id, "moment": moment},
    )
    return result.scalar_one_or_none()


async def _give_code(
    connection: Connection, campaign_id: UUID, rank: int, member_id: UUID, logged_in_at: datetime
) -> None:
    """Makes a code for the winner; one that exists already is thrown away and another is made."""
    for _ in range(_CODE_TRIES):
        given = await connection.execute(
            text(
                "WITH made AS (INSERT INTO codes (id, code_set_id, code, shuffle, state, owner_member_id,"
                " uses_allowed, expires_at, assigned_at)"
                " SELECT :code_id, id, :code, 0, 'ASSIGNED', :member_id, uses_allowed, expires_at, now()"
                " FROM code_sets WHERE id = :campaign_id ON CONFLICT (code) DO NOTHING RETURNING id)"
                " INSERT INTO winners (campaign_id, rank, member_id, code_id, logged_in_at)"
                " SELECT :campaign_id, :rank, :member_id, id, :logged_in_at FROM made RETURNING 1"
            ),
            {
                "code_id": new_id(),
                "code": codes.new_code(),
                "member_id": member_id,
                "campaign_id": campaign_id,
                "rank": rank,
                "logged_in_at": logged_in_at,
            },
        )
        if given.first() is not None:
            return
    raise overloaded("codes")
