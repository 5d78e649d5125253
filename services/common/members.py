"""Member events, which identity sends to the other services, and how they keep them.

Each kind of event is a class of its own, so that a new kind is a type error wherever kinds are matched.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never
from uuid import UUID

from services.common.db import Connection, execute, fetch_first, fetch_value
from services.common.errors import DomainError

ACTIVE, SUSPENDED, CLOSED = "ACTIVE", "SUSPENDED", "CLOSED"


@dataclass(frozen=True, slots=True)
class _Event:
    """`version` counts the events of a member from 1.

    `phone_hash` is a keyed hash by which a phone number is known again, None without a number.
    `shares_contact` is the member's consent as it was then.
    """

    id: UUID
    member_id: UUID
    version: int
    occurred_at: datetime
    phone_hash: bytes | None
    shares_contact: bool


class Registered(_Event):
    """The account was made."""


class FirstLogin(_Event):
    """The member logged in for the first time."""


class PhoneChanged(_Event):
    """The member has another phone number."""


class ConsentChanged(_Event):
    """The member gave or took back consent to share contact data."""


class Suspended(_Event):
    """Staff suspended the account."""


class Restored(_Event):
    """Staff restored the account."""


class Closed(_Event):
    """The account is gone for good."""


MemberEvent = Registered | FirstLogin | PhoneChanged | ConsentChanged | Suspended | Restored | Closed
OnMemberEvent = Callable[[Connection, MemberEvent], Awaitable[None]]
"""What a feature does about an event, in the transaction that keeps it. It runs once for each event."""


@dataclass(frozen=True, slots=True)
class _Kept:
    first_login_was_unknown: bool


def _status_after(event: MemberEvent) -> str | None:
    """Returns the status that an event leads to, or None when it leaves the status as it is."""
    match event:
        case Suspended():
            return SUSPENDED
        case Restored():
            return ACTIVE
        case Closed():
            return CLOSED
        case Registered() | FirstLogin() | PhoneChanged() | ConsentChanged():
            return None
        case _:
            assert_never(event)


async def keep_member_event(connection: Connection, event: MemberEvent) -> bool:
    """Applies an event to the member's row; returns whether it is new.

    Events may come again and out of order. The status is that of the newest event that told of one;
    registration and first login are kept whenever they come, once. A change of phone or consent that comes
    after a newer event is old. Nothing changes for a member who is gone.
    """
    status = _status_after(event)
    kept = await fetch_first(
        connection,
        _Kept,
        """
        INSERT INTO members AS m (
          member_id, version, status, status_version, registered_at, first_login_at
        )
        VALUES (
          %(member_id)s, %(version)s, coalesce(%(status)s, 'ACTIVE'), %(status_version)s,
          %(registered_at)s, %(first_login_at)s
        )
        ON CONFLICT (member_id) DO UPDATE SET
          version = greatest(m.version, excluded.version),
          status = CASE
            WHEN m.status_version < excluded.status_version THEN excluded.status ELSE m.status
          END,
          status_version = greatest(m.status_version, excluded.status_version),
          registered_at = coalesce(m.registered_at, excluded.registered_at),
          first_login_at = coalesce(m.first_login_at, excluded.first_login_at)
        WHERE m.status <> 'CLOSED' AND (
          m.version < excluded.version
          OR m.status_version < excluded.status_version
          OR (m.registered_at IS NULL AND excluded.registered_at IS NOT NULL)
          OR (m.first_login_at IS NULL AND excluded.first_login_at IS NOT NULL)
        )
        RETURNING old.first_login_at IS NULL AS first_login_was_unknown
        """,
        member_id=event.member_id,
        version=event.version,
        status=status,
        status_version=event.version if status else 0,
        registered_at=event.occurred_at if isinstance(event, Registered) else None,
        first_login_at=event.occurred_at if isinstance(event, FirstLogin) else None,
    )
    if kept is None:
        return False
    return kept.first_login_was_unknown or not isinstance(event, FirstLogin)


async def lock_member(connection: Connection, member_id: UUID) -> None:
    """Locks a member's row, so that the account closes before or after the transaction, never in between.

    Raises MEMBER_NOT_FOUND, and MEMBER_CLOSED.
    """
    status = await fetch_value(
        connection,
        "SELECT status FROM members WHERE member_id = %(member_id)s FOR SHARE",
        member_id=member_id,
    )
    if status is None:
        raise DomainError("MEMBER_NOT_FOUND", "no such member", member_id=member_id)
    if status == CLOSED:
        raise member_closed()


def member_closed() -> DomainError:
    """The member closed the account."""
    return DomainError("MEMBER_CLOSED", "the member has closed the account")


async def keep_new_member(connection: Connection, member_id: UUID, status: str) -> None:
    """Keeps a member of whom identity was asked, so that it is known here before its events come.

    Those then apply as ever, for the row is older than the first of them. Nothing changes for a member who
    is known. The status is ACTIVE or SUSPENDED: what follows from closing an account follows from its event.
    """
    assert status in (ACTIVE, SUSPENDED), "a closed account is told of by its event alone"
    await execute(
        connection,
        """
        INSERT INTO members (member_id, version, status, status_version)
        VALUES (%(member_id)s, 0, %(status)s, 0)
        ON CONFLICT (member_id) DO NOTHING
        """,
        member_id=member_id,
        status=status,
    )
