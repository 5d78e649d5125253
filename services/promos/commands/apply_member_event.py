"""Hearing of a member, and giving places to first logins."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from services.common.errors import overloaded
from services.common.ids import new_id
from services.common.legacy_db import Connection
from services.promos import codes, queries

_CODE_TRIES = 10
_STATUS_AFTER = {"SUSPENDED": "SUSPENDED", "RESTORED": "ACTIVE", "CLOSED": "CLOSED"}


@dataclass(frozen=True)
class MemberEvent:
    """What happened to a member. `type` is a name of MemberEventType without its prefix.

    `phone_hash` knows the member's phone number again; None without a number.
    """

    member_id: UUID
    version: int
    type: str
    occurred_at: datetime
    phone_hash: bytes | None = None


async def apply_member_event(connection: Connection, event: MemberEvent) -> None:
    """Applies an event unless this version or a later one was.

    A member's first FIRST_LOGIN gets a place in every campaign that has one for that moment, unless the
    phone number is that of somebody who had a first login under another account. Arrival is the order
    in which these transactions commit. CLOSED takes back the codes that were won and not used.
    """
    first_login_at = event.occurred_at if event.type == "FIRST_LOGIN" else None
    result = await connection.execute(
        text(
            "INSERT INTO members AS m (member_id, version, first_login_at, status)"
            " VALUES (:member_id, :version, :first_login_at, coalesce(:status, 'ACTIVE'))"
            " ON CONFLICT (member_id) DO UPDATE SET version = EXCLUDED.version,"
            " first_login_at = coalesce(m.first_login_at, EXCLUDED.first_login_at),"
            " status = coalesce(:status, m.status)"
            " WHERE m.version < EXCLUDED.version AND m.status <> 'CLOSED'"
            " RETURNING old.first_login_at IS NULL AS never_before"
        ),
        {
            "member_id": event.member_id,
            "version": event.version,
            "first_login_at": first_login_at,
            "status": _STATUS_AFTER.get(event.type),
        },
    )
    applied = result.first()
    if applied is None:
        return
    new_person = await _know_phone(connection, event)
    if first_login_at is not None and applied.never_before and new_person:
        for campaign_id in await queries.open_campaigns(connection, first_login_at):
            rank = await _take_place(connection, campaign_id, first_login_at)
            if rank is not None:
                await _give_code(connection, campaign_id, rank, event.member_id, first_login_at)
    if event.type == "CLOSED":
        await _take_prizes_back(connection, event.member_id)


async def _know_phone(connection: Connection, event: MemberEvent) -> bool:
    """Keeps the phone number for ever; answers whether nobody else was known by it.

    Registering comes before the first login and alone wins nothing, so it is not yet kept then.
    """
    if event.phone_hash is None or event.type == "REGISTERED":
        return True
    result = await connection.execute(
        text(
            "INSERT INTO known_phones AS k (phone_hash, member_id) VALUES (:phone_hash, :member_id)"
            " ON CONFLICT (phone_hash) DO UPDATE SET member_id = k.member_id"
            " RETURNING member_id = :member_id AS own"
        ),
        {"phone_hash": event.phone_hash, "member_id": event.member_id},
    )
    return bool(result.scalar_one())


async def _take_prizes_back(connection: Connection, member_id: UUID) -> None:
    """Voids the member's codes of campaigns that were never used. Places that were won stay taken."""
    await connection.execute(
        text(
            "UPDATE codes c SET state = 'VOID', voided_at = now() FROM winners w"
            " WHERE w.member_id = :member_id AND c.id = w.code_id AND c.state = 'ASSIGNED' AND c.uses = 0"
        ),
        {"member_id": member_id},
    )


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
