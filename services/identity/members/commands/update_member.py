"""Changing a profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import text

from services.common.legacy_db import Connection
from services.identity.members.queries import MemberRow, get_member, why_not_active
from services.identity.otp import forget_otps_of


@dataclass(frozen=True)
class MemberChanges:
    """What shall be otherwise: None stays as it is, what is named in `clear` is emptied.

    Names are in small letters.
    """

    full_name: str | None = None
    user_name: str | None = None
    email: str | None = None
    birthday: date | None = None
    clear: Sequence[str] = ()


async def update_member(connection: Connection, *, member_id: UUID, changes: MemberChanges) -> MemberRow:
    """Changes a member's own account. Another e-mail address is not confirmed, and one-time passwords of
    the old one are void.

    Raises ACCOUNT_SUSPENDED, ACCOUNT_CLOSED, and by constraint USER_NAME_TAKEN, EMAIL_TAKEN and
    VALIDATION_FAILED when no way to log in would remain.
    """
    changed = await connection.execute(
        text(
            "WITH account AS (UPDATE accounts SET"
            " user_name = CASE WHEN 'user_name' = ANY(:clear) THEN NULL"
            " ELSE coalesce(:user_name, user_name) END,"
            " email = CASE WHEN 'email' = ANY(:clear) THEN NULL ELSE coalesce(:email, email) END,"
            " email_confirmed = email_confirmed AND 'email' <> ALL(:clear)"
            " AND coalesce(:email, email) = email"
            " WHERE id = :id AND status = 'ACTIVE'"
            " RETURNING id, CASE WHEN old.email IS DISTINCT FROM new.email THEN old.email END AS given_up)"
            " UPDATE members SET full_name = coalesce(:full_name, full_name),"
            " birthday = CASE WHEN 'birthday' = ANY(:clear) THEN NULL"
            " ELSE coalesce(CAST(:birthday AS date), birthday) END"
            " FROM account WHERE members.id = account.id RETURNING account.given_up"
        ),
        {**asdict(changes), "clear": list(changes.clear), "id": member_id},
    )
    row = changed.first()
    if row is None:
        raise await why_not_active(connection, member_id)
    if row.given_up:
        await forget_otps_of(connection, email=row.given_up)
    return await get_member(connection, member_id)
