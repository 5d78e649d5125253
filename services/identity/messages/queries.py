"""Reads of notices."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.common.db import Connection, fetch_first
from services.common.lists import Listing, SortKey, parse_moment

LIFETIME = "6 hours"
"""How long a notice is tried: a provider that is away over night is no reason to wake anybody after it."""


@dataclass(frozen=True, slots=True)
class NoticeRow:
    """A notice as staff see it. `state` is PREPARED, WAITING, SENT or FAILED; the recipient is masked."""

    id: UUID
    member_id: UUID
    kind: str
    language: str
    recipient: str
    state: str
    tries: int
    last_error: str
    created_at: datetime
    tried_at: datetime | None


@dataclass(frozen=True, slots=True)
class WaitingNotice:
    """A notice to be sent, its recipient encrypted."""

    kind: str
    language: str
    sealed_recipient: bytes
    created_at: datetime
    late: bool


NOTICES = Listing(
    row=NoticeRow,
    columns="""
      n.id, n.member_id, n.kind, n.language, n.recipient, n.state, n.tries, n.last_error, n.created_at,
      n.tried_at
    """,
    source="notices n",
    filters={"state": "n.state = %(state)s", "member_id": "n.member_id = %(member_id)s"},
    keys={"created_at": SortKey("n.created_at", "created_at", parse_moment)},
    key=SortKey("n.id", "id", UUID),
    default_order="created_at desc",
)


async def waiting_notice(connection: Connection, notice_id: UUID) -> WaitingNotice | None:
    """Returns what is to be sent, or None when it was, or is too late."""
    return await fetch_first(
        connection,
        WaitingNotice,
        """
        SELECT
          kind, language, sealed_recipient, created_at,
          created_at < now() - %(lifetime)s::interval AS late
        FROM notices WHERE id = %(id)s AND state = 'WAITING'
        """,
        id=notice_id,
        lifetime=LIFETIME,
    )
