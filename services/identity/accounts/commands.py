"""Writes to accounts that several rooms need."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from services.common.db import Connection, execute, fetch_value
from services.identity.accounts.recipients import Recipient

_MOST_PLACES = 10
"""Of an account: each is a place more from which its password may be guessed, so there are not many."""


async def lock_active_account(connection: Connection, account_id: UUID) -> bool:
    """Locks an active account's row and counts a change of its logins. Returns False if it is not active."""
    changed = await execute(
        connection,
        """
        UPDATE accounts SET session_version = session_version + 1
        WHERE id = %(id)s AND status = 'ACTIVE'
        """,
        id=account_id,
    )
    return changed == 1


async def count_session_change(connection: Connection, account_id: UUID) -> None:
    """Locks an account's row, whatever its status, and counts a change of its logins."""
    await execute(
        connection,
        "UPDATE accounts SET session_version = session_version + 1 WHERE id = %(id)s",
        id=account_id,
    )


async def replace_password_hash(
    connection: Connection, account_id: UUID, *, old: str | None, new: str
) -> bool:
    """Keeps another hash of a password; returns False when `old` is no longer the one that is kept."""
    changed = await execute(
        connection,
        "UPDATE accounts SET password_hash = %(new)s WHERE id = %(id)s AND password_hash = %(old)s",
        id=account_id,
        old=old,
        new=new,
    )
    return changed == 1


async def set_password_hash_of(
    connection: Connection, recipient: Recipient, password_hash: str
) -> UUID | None:
    """Sets the password of the account with this phone number or confirmed e-mail address.

    Returns the account's id, or None when there is no such account.
    """
    account_id: UUID | None = await fetch_value(
        connection,
        """
        UPDATE accounts SET password_hash = %(hash)s, version = version + 1
        WHERE phone = %(phone)s::text OR (email = %(email)s::text AND email_confirmed)
        RETURNING id
        """,
        phone=recipient.phone,
        email=recipient.email,
        hash=password_hash,
    )
    return account_id


async def remember_places(connection: Connection, account_id: UUID, place_hashes: Sequence[bytes]) -> None:
    """Keeps from where somebody has logged in to an account, whose row is locked; the newest ten stay."""
    await execute(
        connection,
        """
        INSERT INTO known_places (account_id, place_hash)
        SELECT %(account_id)s, unnest(%(place_hashes)s::bytea[])
        ON CONFLICT (account_id, place_hash) DO UPDATE SET seen_at = now()
        """,
        account_id=account_id,
        place_hashes=list(place_hashes),
    )
    await execute(
        connection,
        """
        DELETE FROM known_places WHERE account_id = %(account_id)s AND place_hash IN (
          SELECT place_hash FROM known_places WHERE account_id = %(account_id)s
          ORDER BY seen_at DESC, place_hash OFFSET %(most)s
        )
        """,
        account_id=account_id,
        most=_MOST_PLACES,
    )


async def forget_places(connection: Connection, account_id: UUID) -> None:
    """Erases from where an account was logged in to."""
    await execute(connection, "DELETE FROM known_places WHERE account_id = %(id)s", id=account_id)


async def forget_old_places(connection: Connection) -> int:
    """Removes up to 1,000 places that nobody logged in from for 90 days; returns how many."""
    return await execute(
        connection,
        """
        DELETE FROM known_places WHERE (account_id, place_hash) IN (
          SELECT account_id, place_hash FROM known_places
          WHERE seen_at < now() - interval '90 days' LIMIT 1000
        )
        """,
    )
