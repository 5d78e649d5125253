"""Endpoints: where an owner wants to be told of which events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from urllib.parse import urlsplit
from uuid import UUID

from psycopg.sql import SQL

from services.common import audit
from services.common.caller import Caller
from services.common.db import Connection, execute, fetch_first, fetch_value
from services.common.errors import DomainError
from services.common.etags import require_etag
from services.common.ids import new_id
from services.common.lists import Listing, SortKey, parse_moment
from services.common.webhooks.signing import as_text, new_secret

MOST_ENDPOINTS = 10
"""Of an owner; the table's CHECK knows the number too."""


class Sealer(Protocol):
    """Encrypts what is kept."""

    def encrypt(self, plain: bytes) -> bytes:
        """Returns a secret encrypted."""


@dataclass(frozen=True, slots=True)
class EndpointRow:
    """An endpoint, without its secrets."""

    id: UUID
    owner_id: UUID
    url: str
    description: str
    kinds: list[str]
    enabled: bool
    failing_since: datetime | None
    gone_at: datetime | None
    old_secret_expires_at: datetime | None
    version: int
    created_at: datetime

    @property
    def etag(self) -> str:
        """Changes with every change by staff, and when the receiver says that it is gone."""
        return str(self.version)


@dataclass(frozen=True, slots=True)
class EndpointWithSecret:
    """An endpoint with a new secret, which is shown this once."""

    endpoint: EndpointRow
    secret: str


@dataclass(frozen=True, slots=True)
class EndpointChanges:
    """What shall be otherwise; None stays as it is."""

    url: str | None = None
    description: str | None = None
    kinds: Sequence[str] | None = None
    enabled: bool | None = None


_COLUMNS = SQL(
    """
    id, owner_id, url, description, kinds, enabled, failing_since, gone_at,
    CASE WHEN old_secret_expires_at > now() THEN old_secret_expires_at END AS old_secret_expires_at,
    version, created_at
    """
)

ENDPOINTS = Listing(
    row=EndpointRow,
    columns=_COLUMNS,
    source="webhook_endpoints",
    filters={"owner_id": "owner_id = %(owner_id)s"},
    keys={"created_at": SortKey("created_at", "created_at", parse_moment)},
    key=SortKey("id", "id", UUID),
    default_order="created_at",
    always="deleted_at IS NULL",
)
"""The endpoints of an owner, who must be named: ten at most."""

_ENDPOINT = SQL(
    "SELECT {columns} FROM webhook_endpoints"
    " WHERE id = %(id)s AND owner_id = %(owner_id)s AND deleted_at IS NULL"
).format(columns=_COLUMNS)
_LOCKED = SQL("{endpoint} FOR NO KEY UPDATE").format(endpoint=_ENDPOINT)


async def get_endpoint(connection: Connection, owner_id: UUID, endpoint_id: UUID) -> EndpointRow:
    """Returns an endpoint of this owner. Raises WEBHOOK_NOT_FOUND."""
    return _found(await fetch_first(connection, EndpointRow, _ENDPOINT, id=endpoint_id, owner_id=owner_id))


async def lock_endpoint(connection: Connection, owner_id: UUID, endpoint_id: UUID) -> EndpointRow:
    """Returns an endpoint of this owner that nobody else changes until the commit.

    Raises WEBHOOK_NOT_FOUND.
    """
    return _found(await fetch_first(connection, EndpointRow, _LOCKED, id=endpoint_id, owner_id=owner_id))


async def create_endpoint(
    connection: Connection,
    sealer: Sealer,
    *,
    actor: Caller,
    owner_id: UUID,
    url: str,
    description: str,
    kinds: Sequence[str],
) -> EndpointWithSecret:
    """Makes an endpoint with a secret. Raises TOO_MANY_WEBHOOKS when the owner has ten.

    Each takes the lowest free slot of its owner. Who finds it taken by another one looks for the next.
    """
    endpoint_id, secret = new_id(), new_secret()
    for _ in range(MOST_ENDPOINTS + 1):
        made = await fetch_value(
            connection,
            """
            INSERT INTO webhook_endpoints (id, owner_id, slot, url, description, kinds, secret)
            SELECT %(id)s, %(owner_id)s, n, %(url)s, %(description)s, %(kinds)s, %(secret)s
            FROM generate_series(1, %(most)s) AS n
            WHERE NOT EXISTS (
              SELECT FROM webhook_endpoints AS e WHERE e.owner_id = %(owner_id)s AND e.slot = n
            )
            ORDER BY n LIMIT 1
            ON CONFLICT (owner_id, slot) DO NOTHING
            RETURNING id
            """,
            id=endpoint_id,
            owner_id=owner_id,
            url=url,
            description=description,
            kinds=sorted(set(kinds)),
            secret=sealer.encrypt(secret),
            most=MOST_ENDPOINTS,
        )
        if made:
            await audit.record(
                connection, actor, "webhook.created", endpoint_id, owner_id=str(owner_id), host=_host(url)
            )
            return EndpointWithSecret(await get_endpoint(connection, owner_id, endpoint_id), as_text(secret))
    raise DomainError(
        "TOO_MANY_WEBHOOKS", f"there are {MOST_ENDPOINTS} already; delete one first", limit=MOST_ENDPOINTS
    )


async def update_endpoint(
    connection: Connection,
    *,
    actor: Caller,
    owner_id: UUID,
    endpoint_id: UUID,
    etag: str,
    changes: EndpointChanges,
) -> EndpointRow:
    """Changes an endpoint; where nothing is different, nothing is audited either.

    Enabling it forgets that it was gone. What was waiting goes on then. Raises WEBHOOK_NOT_FOUND and
    ETAG_MISMATCH.
    """
    before = await lock_endpoint(connection, owner_id, endpoint_id)
    require_etag(etag, before.etag, of="webhook")
    wanted: dict[str, object] = {
        "url": before.url if changes.url is None else changes.url,
        "description": before.description if changes.description is None else changes.description,
        "kinds": before.kinds if changes.kinds is None else sorted(set(changes.kinds)),
        "enabled": before.enabled if changes.enabled is None else changes.enabled,
    }
    changed = sorted(name for name, value in wanted.items() if value != getattr(before, name))
    if not changed:
        return before
    await execute(
        connection,
        """
        UPDATE webhook_endpoints SET
          url = %(url)s,
          description = %(description)s,
          kinds = %(kinds)s,
          enabled = %(enabled)s,
          gone_at = CASE WHEN NOT %(enabled)s THEN gone_at END,
          failing_since = CASE WHEN url = %(url)s THEN failing_since END,
          version = version + 1
        WHERE id = %(id)s
        """,
        id=endpoint_id,
        **wanted,
    )
    await audit.record(
        connection,
        actor,
        "webhook.updated",
        endpoint_id,
        owner_id=str(owner_id),
        changed=changed,
        host=_host(str(wanted["url"])),
        enabled=wanted["enabled"],
    )
    return await get_endpoint(connection, owner_id, endpoint_id)


async def delete_endpoint(
    connection: Connection, *, actor: Caller, owner_id: UUID, endpoint_id: UUID, etag: str
) -> None:
    """Deletes an endpoint: nothing more is sent to it. A chore removes its deliveries.

    Raises WEBHOOK_NOT_FOUND and ETAG_MISMATCH.
    """
    before = await lock_endpoint(connection, owner_id, endpoint_id)
    require_etag(etag, before.etag, of="webhook")
    await execute(
        connection,
        """
        UPDATE webhook_endpoints SET
          deleted_at = now(), slot = NULL, enabled = false, version = version + 1,
          secret = '', old_secret = NULL, old_secret_expires_at = NULL
        WHERE id = %(id)s
        """,
        id=endpoint_id,
    )
    await audit.record(
        connection, actor, "webhook.deleted", endpoint_id, owner_id=str(owner_id), host=_host(before.url)
    )


async def rotate_secret(
    connection: Connection,
    sealer: Sealer,
    *,
    actor: Caller,
    owner_id: UUID,
    endpoint_id: UUID,
    etag: str,
    overlap_hours: int,
) -> EndpointWithSecret:
    """Gives an endpoint another secret; the one before signs beside it for so many hours.

    One that was still signing from an earlier rotation does not any more. Raises WEBHOOK_NOT_FOUND and
    ETAG_MISMATCH.
    """
    before = await lock_endpoint(connection, owner_id, endpoint_id)
    require_etag(etag, before.etag, of="webhook")
    secret = new_secret()
    await execute(
        connection,
        """
        UPDATE webhook_endpoints SET
          secret = %(secret)s,
          old_secret = CASE WHEN %(hours)s > 0 THEN secret END,
          old_secret_expires_at = CASE WHEN %(hours)s > 0 THEN now() + make_interval(hours => %(hours)s) END,
          version = version + 1
        WHERE id = %(id)s
        """,
        id=endpoint_id,
        secret=sealer.encrypt(secret),
        hours=overlap_hours,
    )
    await audit.record(
        connection,
        actor,
        "webhook.secret_rotated",
        endpoint_id,
        owner_id=str(owner_id),
        overlap_hours=overlap_hours,
    )
    return EndpointWithSecret(await get_endpoint(connection, owner_id, endpoint_id), as_text(secret))


def _found(row: EndpointRow | None) -> EndpointRow:
    if row is None:
        raise DomainError("WEBHOOK_NOT_FOUND", "no such webhook")
    return row


def _host(url: str) -> str:
    """Returns the host of a URL. The rest of it may be a secret, and the audit list outlives the endpoint."""
    return urlsplit(url).hostname or ""
