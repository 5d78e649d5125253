"""Reads of tills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.common.db import Connection, fetch_all, fetch_first
from services.common.errors import DomainError
from services.common.paging import Page


@dataclass(frozen=True, slots=True)
class TillRow:
    """A till."""

    id: UUID
    display_name: str
    created_at: datetime
    enabled: bool


@dataclass(frozen=True, slots=True)
class TillSecrets:
    """Hashes of the secrets that a till may use now, and the series of the tokens that it gets for them."""

    token_series: UUID
    secret_hash: bytes | None
    old_secret_hash: bytes | None


async def till_secrets(connection: Connection, till_id: UUID) -> TillSecrets | None:
    """Returns the secrets of a till, or None for one that is unknown or disabled."""
    return await fetch_first(
        connection,
        TillSecrets,
        """
        SELECT
          token_series, secret_hash,
          CASE WHEN old_secret_ends_at > now() THEN old_secret_hash END AS old_secret_hash
        FROM clients WHERE id = %(id)s AND enabled
        """,
        id=till_id,
    )


async def get_till(connection: Connection, till_id: UUID) -> TillRow:
    """Returns a till. Raises CLIENT_NOT_FOUND."""
    till = await fetch_first(
        connection,
        TillRow,
        "SELECT id, display_name, created_at, enabled FROM clients WHERE id = %(id)s",
        id=till_id,
    )
    if till is None:
        raise till_not_found(till_id)
    return till


def till_not_found(till_id: UUID) -> DomainError:
    """Returns the refusal for an id that no till has."""
    return DomainError("CLIENT_NOT_FOUND", "no such till", client_id=till_id)


async def list_tills(connection: Connection, page: Page) -> tuple[Sequence[TillRow], str]:
    """Returns a page of tills, by name."""
    found = await fetch_all(
        connection,
        TillRow,
        """
        SELECT id, display_name, created_at, enabled FROM clients
        WHERE %(after)s::text IS NULL OR display_name > %(after)s::text
        ORDER BY display_name LIMIT %(limit)s
        """,
        after=page.after(str),
        limit=page.size + 1,
    )
    return page.cut(found, lambda till: till.display_name)
