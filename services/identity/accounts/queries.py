"""Reads of what people log in with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.common.db import Connection, fetch_first, fetch_one, fetch_value, fetch_values
from services.common.errors import DomainError
from services.identity.accounts.changes import Contact
from services.identity.accounts.recipients import Recipient


@dataclass(frozen=True, slots=True)
class AccountRow:
    """What logging in needs to know of an account. Role and brand are the token's."""

    id: UUID
    role: str
    brand_id: UUID | None
    password_hash: str | None


async def account_of(connection: Connection, recipient: Recipient) -> AccountRow:
    """Returns the account with this phone number or confirmed e-mail address. Raises ACCOUNT_NOT_FOUND."""
    account = await fetch_first(
        connection,
        AccountRow,
        """
        SELECT id, role, brand_id, password_hash FROM login_accounts
        WHERE status <> 'CLOSED'
          AND (phone = %(phone)s::text OR (email = %(email)s::text AND email_confirmed))
        """,
        phone=recipient.phone,
        email=recipient.email,
    )
    if account is None:
        raise account_not_found(recipient)
    return account


def account_not_found(recipient: Recipient) -> DomainError:
    """Returns the refusal for a phone number, or a confirmed e-mail address, that no account has."""
    return DomainError("ACCOUNT_NOT_FOUND", f"no account has this {recipient}; register first")


async def find_account(connection: Connection, name: str, phone: str | None) -> AccountRow | None:
    """Returns the account with this user name or e-mail address, in small letters, or this phone number."""
    return await fetch_first(
        connection,
        AccountRow,
        """
        SELECT id, role, brand_id, password_hash FROM login_accounts
        WHERE status <> 'CLOSED'
          AND (user_name = %(name)s OR email = %(name)s OR phone = %(phone)s::text)
        ORDER BY id LIMIT 1
        """,
        name=name,
        phone=phone,
    )


async def get_account(connection: Connection, account_id: UUID) -> AccountRow:
    """Returns the account of somebody who is known by now. Raises ACCOUNT_CLOSED."""
    account = await fetch_first(
        connection,
        AccountRow,
        """
        SELECT id, role, brand_id, password_hash FROM login_accounts
        WHERE status <> 'CLOSED' AND id = %(id)s
        """,
        id=account_id,
    )
    if account is None:
        raise DomainError("ACCOUNT_CLOSED", "the account is closed")
    return account


async def proven_contact(connection: Connection, account_id: UUID) -> Contact:
    """Returns the number and the confirmed address of an account that is there."""
    return await fetch_one(
        connection,
        Contact,
        "SELECT phone, CASE WHEN email_confirmed THEN email END AS email FROM accounts WHERE id = %(id)s",
        id=account_id,
    )


async def id_of_recipient(connection: Connection, recipient: Recipient) -> UUID | None:
    """Returns the id of the account with this phone number or confirmed e-mail address, if any."""
    found: UUID | None = await fetch_value(
        connection,
        """
        SELECT id FROM accounts
        WHERE status <> 'CLOSED'
          AND (phone = %(phone)s::text OR (email = %(email)s::text AND email_confirmed))
        """,
        phone=recipient.phone,
        email=recipient.email,
    )
    return found


async def known_places(
    connection: Connection, account_id: UUID, place_hashes: Sequence[bytes]
) -> frozenset[bytes]:
    """Returns which of these places somebody has logged in from to the account."""
    found = await fetch_values(
        connection,
        """
        SELECT place_hash FROM known_places
        WHERE account_id = %(account_id)s AND place_hash = ANY(%(place_hashes)s::bytea[])
        """,
        account_id=account_id,
        place_hashes=list(place_hashes),
    )
    return frozenset(bytes(one) for one in found)
