"""Logging in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.common.db import Connection
from services.common.sessions import SessionState
from services.identity.accounts import AccountRow, credentials_not_valid, get_account, remember_places
from services.identity.otp import use_otp
from services.identity.sessions import OpenedSession, open_session


@dataclass(frozen=True)
class LoggedIn:
    """The account as it is at the moment of logging in, and the login."""

    account: AccountRow
    session: OpenedSession

    @property
    def logins(self) -> SessionState:
        """Who is logged in now."""
        return self.session.logins


async def log_in(
    connection: Connection,
    *,
    proven: AccountRow,
    otp_id: UUID | None,
    device_id: str,
    place_hashes: Sequence[bytes],
    most: int,
    session_seconds: int,
) -> LoggedIn:
    """Opens a login for a proven account, using the one-time password up if that was the proof.

    From where it came is remembered, so that its owner is told from strangers who guess.

    Between the proof and here the role or the password may have been changed, which ended all logins.
    This one holds the account's row, so it is ended by that change too, or comes after it: then it gets
    the new role, and the old password proves nothing any more.

    Raises OTP_NOT_VALID, CREDENTIALS_NOT_VALID, ACCOUNT_SUSPENDED and ACCOUNT_CLOSED.
    """
    session = await open_session(
        connection, account_id=proven.id, device_id=device_id, most=most, seconds=session_seconds
    )
    if otp_id is not None:  # after the account is locked, as by whoever gives a number or an address up
        await use_otp(connection, otp_id)
    account = await get_account(connection, proven.id)
    if otp_id is None and account.password_hash != proven.password_hash:
        raise credentials_not_valid()
    await remember_places(connection, account.id, place_hashes)
    return LoggedIn(account, session)
