"""Reads of tills."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.common.db import Connection, fetch_first
from services.common.errors import DomainError
from services.common.lists import Listing, SortKey, parse_moment


@dataclass(frozen=True, slots=True)
class TillRow:
    """A till."""

    id: UUID
    display_name: str
    created_at: datetime
    enabled: bool
    version: int

    @property
    def etag(self) -> str:
        """Changes with every change, also of the secret."""
        return str(self.version)


TILLS = Listing(
    row=TillRow,
    columns="id, display_name, created_at, enabled, version",
    source="clients",
    filters={
        "enabled": "enabled = %(enabled)s",
        "begins_with": "starts_with(lower(display_name), lower(%(begins_with)s))",
    },
    keys={
        "display_name": SortKey("display_name", "display_name", str),
        "created_at": SortKey("created_at", "created_at", parse_moment),
    },
    key=SortKey("id", "id", UUID),
    default_order="display_name",
    always="NOT deleted",
)
"""The tills: some thousands at most, so its sort orders need no index."""


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
    """Returns a till that is not deleted. Raises CLIENT_NOT_FOUND."""
    till = await fetch_first(
        connection,
        TillRow,
        """
        SELECT id, display_name, created_at, enabled, version FROM clients
        WHERE id = %(id)s AND NOT deleted
        """,
        id=till_id,
    )
    if till is None:
        raise till_not_found(till_id)
    return till


def till_not_found(till_id: UUID) -> DomainError:
    """Returns the refusal for an id that no till has."""
    return DomainError("CLIENT_NOT_FOUND", "no such till", client_id=till_id)
