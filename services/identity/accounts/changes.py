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
class OwnAccount:
    """An active account as it is while its row is locked."""

    user_name: str | None
    phone: str | None
    email: str | None
    email_confirmed: bool
    pending_email: str | None
    password_hash: str | None

    @property
    def proven(self) -> Contact:
        """The number and the address that its person has proven to own."""
        return Contact(self.phone, self.email if self.email_confirmed else None)

    @property
    def proof_methods(self) -> list[str]:
        """The ways to prove anew who one is.

        There is one at least: without a password a number or a confirmed address is the way in.
        """
        ways = {"password": self.password_hash, "phone": self.phone, "email": self.proven.email}
        return [name for name, there in ways.items() if there]


@dataclass(frozen=True, slots=True)
class Deprived:
    """An account that lost its unconfirmed e-mail address to who proved to own it."""

    id: UUID
    phone: str | None


async def lock_own_account(connection: Connection, account_id: UUID) -> OwnAccount | None:
    """Locks an active account and returns it, or None when it is not active."""
    return await fetch_first(
        connection,
        OwnAccount,
        """
        SELECT user_name, phone, email, email_confirmed, pending_email, password_hash FROM accounts
        WHERE id = %(id)s AND status = 'ACTIVE' FOR NO KEY UPDATE
        """,
        id=account_id,
    )


async def lock_with_holder_of(connection: Connection, account_id: UUID, email: str) -> OwnAccount | None:
    """Locks an active account, and the one that has the address, in the order of their ids.

    Returns the account, or None when it is not active.
    """
    await execute(
        connection,
        "SELECT FROM accounts WHERE id = %(id)s OR email = %(email)s ORDER BY id FOR NO KEY UPDATE",
        id=account_id,
        email=email,
    )
    return await lock_own_account(connection, account_id)


async def deprive_of_email(connection: Connection, email: str, spare_name: str) -> Deprived | None:
    """Takes an address from the account that has it without having confirmed it.

    Returns that account, if there is one. The address stays as its pending one. An account that would have no
    name left is called `spare_name`.
    """
    return await fetch_first(
        connection,
        Deprived,
        """
        UPDATE accounts SET
          email = NULL, pending_email = coalesce(pending_email, email),
          user_name = CASE WHEN phone IS NULL THEN coalesce(user_name, %(spare_name)s) ELSE user_name END,
          version = version + 1
        WHERE email = %(email)s AND NOT email_confirmed
        RETURNING id, phone
        """,
        email=email,
        spare_name=spare_name,
    )


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


async def close_account(connection: Connection, account_id: UUID) -> None:
    """Closes an account, locked and found to be active, and erases what its person logs in with."""
    await execute(
        connection,
        """
        UPDATE accounts SET
          status = 'CLOSED', user_name = NULL, email = NULL, email_confirmed = false, pending_email = NULL,
          phone = NULL, password_hash = NULL, version = version + 1
        WHERE id = %(id)s
        """,
        id=account_id,
    )


async def set_phone(connection: Connection, account_id: UUID, phone: str) -> None:
    """Gives an account a phone number. Raises PHONE_TAKEN."""
    await execute(
        connection,
        "UPDATE accounts SET phone = %(phone)s, version = version + 1 WHERE id = %(id)s",
        id=account_id,
        phone=phone,
    )


async def set_confirmed_email(connection: Connection, account_id: UUID, email: str) -> None:
    """Gives an account an address that is proven to be its person's. Raises EMAIL_TAKEN."""
    await execute(
        connection,
        """
        UPDATE accounts SET
          email = %(email)s, email_confirmed = true, pending_email = nullif(pending_email, %(email)s),
          version = version + 1
        WHERE id = %(id)s
        """,
        id=account_id,
        email=email,
    )


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
