"""Changes of one account: contact, status, password. Each locks the row that logging in locks."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.common.db import Connection, execute, fetch_first


@dataclass(frozen=True, slots=True)
class Contact:
    """By which number and address the person of an account can be reached."""

    phone: str | None
    email: str | None


@dataclass(frozen=True, slots=True)
class PhoneChange:
    """The number that an account had, and whether it has another one now."""

    before: str | None
    changed: bool


async def lock_contact(connection: Connection, account_id: UUID) -> Contact | None:
    """Locks an active account and returns its contact, or None when it is not active.

    An account that is being closed meanwhile keeps nothing that is written after this.
    """
    return await fetch_first(
        connection,
        Contact,
        "SELECT phone, email FROM accounts WHERE id = %(id)s AND status = 'ACTIVE' FOR NO KEY UPDATE",
        id=account_id,
    )


async def lock_account(connection: Connection, account_id: UUID) -> None:
    """Locks an account, whatever its status, so that nobody changes it before this transaction ends."""
    await execute(connection, "SELECT FROM accounts WHERE id = %(id)s FOR NO KEY UPDATE", id=account_id)


async def count_change(connection: Connection, account_id: UUID) -> None:
    """Counts a change of what staff see of an account that is written elsewhere than in its own row."""
    await execute(connection, "UPDATE accounts SET version = version + 1 WHERE id = %(id)s", id=account_id)


async def close_account(connection: Connection, account_id: UUID) -> Contact | None:
    """Closes an active account and erases what its person logs in with.

    Returns the contact that it had, or None when it is not active.
    """
    return await fetch_first(
        connection,
        Contact,
        """
        UPDATE accounts SET
          status = 'CLOSED', user_name = NULL, email = NULL, email_confirmed = false, phone = NULL,
          password_hash = NULL, version = version + 1
        WHERE id = %(id)s AND status = 'ACTIVE'
        RETURNING old.phone, old.email
        """,
        id=account_id,
    )


async def set_phone(connection: Connection, account_id: UUID, phone: str) -> PhoneChange | None:
    """Gives an active account a phone number. Returns None when it is not active; raises PHONE_TAKEN."""
    return await fetch_first(
        connection,
        PhoneChange,
        """
        UPDATE accounts SET phone = %(phone)s, version = version + 1
        WHERE id = %(id)s AND status = 'ACTIVE'
        RETURNING old.phone AS before, old.phone IS DISTINCT FROM new.phone AS changed
        """,
        id=account_id,
        phone=phone,
    )


async def confirm_email_of(connection: Connection, account_id: UUID, email: str | None) -> bool:
    """Keeps that the address of an active account is its person's; returns False if it has another one."""
    confirmed = await execute(
        connection,
        """
        UPDATE accounts SET email_confirmed = true, version = version + 1
        WHERE id = %(id)s AND status = 'ACTIVE' AND email = %(email)s
        """,
        id=account_id,
        email=email,
    )
    return confirmed == 1


async def set_member_status(connection: Connection, account_id: UUID, status: str) -> Contact | None:
    """Suspends or restores a member's account.

    Returns its contact, or None when that is its status already, it is closed or there is none.
    """
    return await fetch_first(
        connection,
        Contact,
        """
        UPDATE accounts SET status = %(status)s, version = version + 1
        WHERE id = %(id)s AND kind = 'MEMBER' AND status NOT IN ('CLOSED', %(status)s)
        RETURNING phone, email
        """,
        id=account_id,
        status=status,
    )


async def set_password_hash(connection: Connection, account_id: UUID, password_hash: str) -> None:
    """Sets an account's password, whatever it was."""
    await execute(
        connection,
        "UPDATE accounts SET password_hash = %(hash)s, version = version + 1 WHERE id = %(id)s",
        id=account_id,
        hash=password_hash,
    )
