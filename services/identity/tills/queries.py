"""Reads of tills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from services.common.errors import DomainError
from services.common.legacy_db import Connection
from services.common.paging import Page

_CLIENT = "SELECT id, display_name, created_at, enabled FROM clients"


@dataclass(frozen=True)
class ClientRow:
    """A till."""

    id: UUID
    display_name: str
    created_at: datetime
    enabled: bool = True


async def client_secret_hashes(connection: Connection, client_id: UUID) -> Sequence[bytes]:
    """Hashes of the secrets that a till may use now; none for one that is unknown or disabled."""
    result = await connection.execute(
        text(
            "SELECT unnest(ARRAY[secret_hash, CASE WHEN old_secret_ends_at > now() THEN old_secret_hash END])"
            " AS hash FROM clients WHERE id = :id AND enabled"
        ),
        {"id": client_id},
    )
    return [bytes(row.hash) for row in result if row.hash is not None]


async def get_client(connection: Connection, client_id: UUID) -> ClientRow:
    """A till. Raises CLIENT_NOT_FOUND."""
    result = await connection.execute(text(_CLIENT + " WHERE id = :id"), {"id": client_id})
    row = result.first()
    if row is None:
        raise client_not_found(client_id)
    return ClientRow(*row)


def client_not_found(client_id: UUID) -> DomainError:
    """There is no such till."""
    return DomainError("CLIENT_NOT_FOUND", "no such till", client_id=client_id)


async def list_clients(connection: Connection, page: Page) -> tuple[Sequence[ClientRow], str]:
    """A page of tills, by name."""
    result = await connection.execute(
        text(
            _CLIENT + " WHERE CAST(:after AS text) IS NULL OR display_name > :after"
            " ORDER BY display_name LIMIT :limit"
        ),
        {"after": page.after(str), "limit": page.size + 1},
    )
    return page.cut([ClientRow(*row) for row in result], lambda client: client.display_name)
