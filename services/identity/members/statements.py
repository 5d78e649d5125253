"""Statements that write a member and the account at once.

An account without its member, or a member without an account, must not be seen by anybody, and a profile
spreads over both: one round trip and one lock instead of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from uuid import UUID

from services.common.db import Connection, execute
from services.identity.accounts import OwnAccount


@dataclass(frozen=True)
class NewMember:
    """Who wants an account. At least one of phone, user name and e-mail address is given.

    `otp_id` is the proof of owning the phone number, or the e-mail address if that is confirmed. Names are in
    small letters.
    """

    full_name: str
    birthday: date | None = None
    phone: str | None = None
    otp_id: UUID | None = None
    user_name: str | None = None
    email: str | None = None
    email_confirmed: bool = False
    password_hash: str | None = None


@dataclass(frozen=True)
class MemberChanges:
    """What is to be changed: None stays as it is, what is named in `clear` is emptied.

    Names are in small letters. An `email` is one that the member wants.
    """

    full_name: str | None = None
    user_name: str | None = None
    email: str | None = None
    birthday: date | None = None
    clear: Sequence[str] = ()

    def changes_user_name(self, account: OwnAccount) -> bool:
        """Returns whether the account's user name will be another one, or none."""
        if "user_name" in self.clear:
            return account.user_name is not None
        return self.user_name not in (None, account.user_name)

    def empties_email(self, account: OwnAccount) -> bool:
        """Returns whether the account will have no e-mail address any more."""
        return "email" in self.clear and account.email is not None

    def wants_email(self, account: OwnAccount) -> bool:
        """Returns whether another address is wanted than the account has, or wants already."""
        return self.email not in (None, account.email, account.pending_email)


async def insert_member(connection: Connection, member_id: UUID, new: NewMember, member_code: str) -> None:
    """Inserts a member with the account.

    Raises PHONE_TAKEN, USER_NAME_TAKEN and EMAIL_TAKEN by constraint.
    """
    await execute(
        connection,
        """
        WITH account AS (
          INSERT INTO accounts (id, kind, user_name, email, email_confirmed, phone, password_hash)
          VALUES (
            %(id)s, 'MEMBER', %(user_name)s, %(email)s, %(email_confirmed)s, %(phone)s, %(password_hash)s
          )
          RETURNING id
        )
        INSERT INTO members (id, full_name, birthday, member_code, event_version)
        SELECT id, %(full_name)s, %(birthday)s::date, %(member_code)s, 0 FROM account
        """,
        id=member_id,
        user_name=new.user_name,
        email=new.email,
        email_confirmed=new.email_confirmed,
        phone=new.phone,
        password_hash=new.password_hash,
        full_name=new.full_name,
        birthday=new.birthday,
        member_code=member_code,
    )


async def change_profile(connection: Connection, member_id: UUID, changes: MemberChanges) -> None:
    """Changes the profile of a member. Another e-mail address is pending; the present one ends that.

    Raises USER_NAME_TAKEN and VALIDATION_FAILED by constraint.
    """
    await execute(
        connection,
        """
        WITH account AS (
          UPDATE accounts SET
            user_name = CASE
              WHEN 'user_name' = ANY(%(clear)s::text[]) THEN NULL ELSE coalesce(%(user_name)s, user_name)
            END,
            email = CASE WHEN 'email' <> ALL(%(clear)s::text[]) THEN email END,
            email_confirmed = email_confirmed AND 'email' <> ALL(%(clear)s::text[]),
            pending_email = CASE
              WHEN 'email' <> ALL(%(clear)s::text[])
              THEN nullif(coalesce(%(email)s::text, pending_email), email)
            END,
            version = version + 1
          WHERE id = %(id)s
          RETURNING id
        )
        UPDATE members SET
          full_name = coalesce(%(full_name)s, full_name),
          birthday = CASE
            WHEN 'birthday' = ANY(%(clear)s::text[]) THEN NULL ELSE coalesce(%(birthday)s::date, birthday)
          END
        FROM account WHERE members.id = account.id
        """,
        **{**asdict(changes), "clear": list(changes.clear)},
        id=member_id,
    )
