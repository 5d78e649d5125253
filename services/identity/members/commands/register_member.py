"""Making an account."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import text

from services.common.ids import new_id
from services.common.legacy_db import Connection
from services.common.members import FirstLogin, Registered
from services.common.sessions import SessionState
from services.identity.events import publish_member_events
from services.identity.keys import Vault
from services.identity.member_codes import new_member_code
from services.identity.members.queries import MemberRow, get_member
from services.identity.otp import use_otp
from services.identity.sessions import OpenedSession, open_session


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
class RegisteredMember:
    """The new member, logged in."""

    member: MemberRow
    session: OpenedSession

    @property
    def logins(self) -> SessionState:
        """Who is logged in now."""
        return self.session.logins


async def register_member(
    connection: Connection, vault: Vault, *, new: NewMember, device_id: str, session_seconds: int
) -> RegisteredMember:
    """Makes an account, logs its member in, and tells the other services.

    Registering logs the member in, so it is also the first login. Raises OTP_NOT_VALID, and PHONE_TAKEN,
    USER_NAME_TAKEN and EMAIL_TAKEN (by constraint).
    """
    if new.otp_id is not None:
        await use_otp(connection, new.otp_id)
    member_id = new_id()
    await connection.execute(
        text(
            "WITH account AS (INSERT INTO accounts (id, kind, user_name, email, phone, password_hash)"
            " VALUES (:id, 'MEMBER', :user_name, :email, :phone, :password_hash) RETURNING id)"
            " INSERT INTO members (id, full_name, birthday, member_code, event_version)"
            " SELECT id, :full_name, :birthday, :member_code, 0 FROM account"
        ),
        {
            "id": member_id,
            "user_name": new.user_name,
            "email": new.email,
            "phone": new.phone,
            "password_hash": new.password_hash,
            "full_name": new.full_name,
            "birthday": new.birthday,
            "member_code": new_member_code(),
        },
    )
    phone_hash = vault.hash_phone(new.phone) if new.phone else None
    await publish_member_events(connection, member_id, Registered, FirstLogin, phone_hash=phone_hash)
    session = await open_session(
        connection, account_id=member_id, device_id=device_id, most=1, seconds=session_seconds
    )
    return RegisteredMember(await get_member(connection, member_id), session)
