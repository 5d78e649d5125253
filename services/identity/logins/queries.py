"""Reads of what people log in with, and of their logins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text

from services.common.errors import DomainError
from services.common.legacy_db import Connection
from services.common.sessions import UNKNOWN, SessionState
from services.identity.otp.recipients import Recipient

_ACCOUNT = (
    "SELECT a.id, coalesce(s.role, 'member'), a.password_hash"
    " FROM accounts a LEFT JOIN staff s ON s.id = a.id WHERE a.status <> 'CLOSED' AND "
)


@dataclass(frozen=True)
class AccountRow:
    """What logging in needs to know. `role` is the token's."""

    id: UUID
    role: str
    password_hash: str | None


async def account_of(connection: Connection, recipient: Recipient) -> AccountRow:
    """The account with this phone number or confirmed e-mail address. Raises ACCOUNT_NOT_FOUND."""
    result = await connection.execute(
        text(
            _ACCOUNT + "(a.phone = CAST(:phone AS text)"
            " OR (a.email = CAST(:email AS text) AND a.email_confirmed))"
        ),
        {"phone": recipient.phone, "email": recipient.email},
    )
    row = result.first()
    if row is None:
        raise account_not_found(recipient)
    return AccountRow(*row)


def account_not_found(recipient: Recipient) -> DomainError:
    """Nobody has an account with this phone number, or with this e-mail address and has confirmed it."""
    return DomainError("ACCOUNT_NOT_FOUND", f"no account has this {recipient}; register first")


async def find_account(connection: Connection, name: str, phone: str | None) -> AccountRow | None:
    """The account with this user name or e-mail address, in small letters, or this phone number."""
    result = await connection.execute(
        text(
            _ACCOUNT + "(a.user_name = :name OR a.email = :name"
            " OR a.phone = CAST(:phone AS text)) ORDER BY a.id LIMIT 1"
        ),
        {"name": name, "phone": phone},
    )
    row = result.first()
    return AccountRow(*row) if row else None


async def get_account(connection: Connection, account_id: UUID) -> AccountRow:
    """An account that is not closed. Raises ACCOUNT_NOT_FOUND."""
    result = await connection.execute(text(_ACCOUNT + "a.id = :id"), {"id": account_id})
    row = result.first()
    if row is None:
        raise DomainError("ACCOUNT_NOT_FOUND", "no such account")
    return AccountRow(*row)


async def session_state(connection: Connection, account_id: UUID) -> SessionState:
    """Which logins of an account are active."""
    [state] = await session_states(connection, [account_id])
    return state


async def session_states(connection: Connection, account_ids: Sequence[UUID]) -> list[SessionState]:
    """Which logins of each of these accounts are active, in their order."""
    result = await connection.execute(
        text(
            "SELECT wanted.id, coalesce(a.session_version, 0), coalesce(lower(a.status), :unknown),"
            " array(SELECT s.id FROM sessions s"
            " WHERE s.account_id = a.id AND s.ended_at IS NULL AND s.expires_at > now()), e.epoch"
            " FROM session_epochs e CROSS JOIN unnest(CAST(:ids AS uuid[])) AS wanted (id)"
            " LEFT JOIN accounts a ON a.id = wanted.id"
        ),
        {"ids": list(account_ids), "unknown": UNKNOWN},
    )
    found = {
        row[0]: SessionState(str(row[0]), row[1], row[2], frozenset(map(str, row[3])), str(row[4]))
        for row in result
    }
    return [found[account_id] for account_id in account_ids]


async def session_epoch(connection: Connection) -> str:
    """The epoch of which states in the cache must be to be believed."""
    return str((await connection.execute(text("SELECT epoch FROM session_epochs"))).scalar_one())


async def has_staff(connection: Connection) -> bool:
    """Whether there is any staff."""
    return bool((await connection.execute(text("SELECT EXISTS (SELECT FROM staff)"))).scalar_one())
