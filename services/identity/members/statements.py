"""Statements that write a member and the account at once.

An account without its member, or a member without an account, must not be seen by anybody, and a profile
spreads over both: one round trip and one lock instead of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from uuid import UUID

from services.common.db import Connection, execute, fetch_first


@dataclass(frozen=True)
class NewMember:
    """Who wants an account. At least one of phone, user name and e-mail address is given.

    `otp_id` is the proof of owning the phone number. Names are in small letters.
    """

    full_name: str
    birthday: date | None = None
    phone: str | None = None
    otp_id: UUID | None = None
    user_name: str | None = None
    email: str | None = None
    password_hash: str | None = None


@dataclass(frozen=True)
class MemberChanges:
    """What is to be changed: None stays as it is, what is named in `clear` is emptied.

    Names are in small letters.
    """

    full_name: str | None = None
    user_name: str | None = None
    email: str | None = None
    birthday: date | None = None
    clear: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Changed:
    """The e-mail address that a member gave up, if any."""

    given_up: str | None


async def insert_member(connection: Connection, member_id: UUID, new: NewMember, member_code: str) -> None:
    """Inserts a member with the account.

    Raises PHONE_TAKEN, USER_NAME_TAKEN and EMAIL_TAKEN by constraint.
    """
    await execute(
        connection,
        """
        WITH account AS (
          INSERT INTO accounts (id, kind, user_name, email, phone, password_hash)
          VALUES (%(id)s, 'MEMBER', %(user_name)s, %(email)s, %(phone)s, %(password_hash)s)
          RETURNING id
        )
        INSERT INTO members (id, full_name, birthday, member_code, event_version)
        SELECT id, %(full_name)s, %(birthday)s::date, %(member_code)s, 0 FROM account
        """,
        id=member_id,
        user_name=new.user_name,
        email=new.email,
        phone=new.phone,
        password_hash=new.password_hash,
        full_name=new.full_name,
        birthday=new.birthday,
        member_code=member_code,
    )


async def change_profile(connection: Connection, member_id: UUID, changes: MemberChanges) -> Changed | None:
    """Changes the profile of a member whose account is active; returns None for another one.

    Raises USER_NAME_TAKEN, EMAIL_TAKEN and VALIDATION_FAILED by constraint.
    """
    return await fetch_first(
        connection,
        Changed,
        """
        WITH account AS (
          UPDATE accounts SET
            user_name = CASE
              WHEN 'user_name' = ANY(%(clear)s::text[]) THEN NULL ELSE coalesce(%(user_name)s, user_name)
            END,
            email = CASE WHEN 'email' = ANY(%(clear)s::text[]) THEN NULL ELSE coalesce(%(email)s, email) END,
            email_confirmed =
              email_confirmed AND 'email' <> ALL(%(clear)s::text[]) AND coalesce(%(email)s, email) = email,
            version = version + 1
          WHERE id = %(id)s AND status = 'ACTIVE'
          RETURNING id, CASE WHEN old.email IS DISTINCT FROM new.email THEN old.email END AS given_up
        )
        UPDATE members SET
          full_name = coalesce(%(full_name)s, full_name),
          birthday = CASE
            WHEN 'birthday' = ANY(%(clear)s::text[]) THEN NULL ELSE coalesce(%(birthday)s::date, birthday)
          END
        FROM account WHERE members.id = account.id
        RETURNING account.given_up
        """,
        **{**asdict(changes), "clear": list(changes.clear)},
        id=member_id,
    )
