"""One key, at most one effect: the key, its fingerprint, the effect and the reply commit together."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable

from sqlalchemy import Column, DateTime, LargeBinary, MetaData, Table, Text, func, text
from sqlalchemy.exc import NoResultFound

from services.common.db import Connection
from services.common.errors import DomainError

_KEY = re.compile(r"[\x21-\x7e]{1,128}")


def idempotency_table(metadata: MetaData) -> Table:
    """The table of keys; every service that runs calls once has one."""
    return Table(
        "idempotency_keys",
        metadata,
        Column("caller", Text, primary_key=True),
        Column("rpc", Text, primary_key=True),
        Column("key", Text, primary_key=True),
        Column("fingerprint", LargeBinary, nullable=False),
        Column("reply", LargeBinary, nullable=False),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now(), index=True),
    )


def parse_key(value: str | None, *, required: bool) -> str | None:
    """The `Idempotency-Key` of a call. Raises IDEMPOTENCY_KEY_REQUIRED when it is missing or malformed."""
    if not value and not required:
        return None
    if not value or not _KEY.fullmatch(value):
        raise DomainError(
            "IDEMPOTENCY_KEY_REQUIRED",
            "send an Idempotency-Key header of 1 to 128 visible characters, new for every intended effect",
        )
    return value


def fingerprint(content: bytes) -> bytes:
    """What tells one content from another."""
    return hashlib.sha256(content).digest()


def reused(key: str) -> DomainError:
    """The key came before with other content."""
    return DomainError(
        "IDEMPOTENCY_KEY_REUSED", "this Idempotency-Key was used with other content", idempotency_key=key
    )


async def run_once(
    connection: Connection,
    scope: tuple[str, str, str | None],
    content: bytes,
    effect: Callable[[Connection], Awaitable[bytes]],
) -> bytes:
    """Runs `effect` once per `scope` (caller, RPC, key) and answers its reply, now and later.

    Without a key it simply runs. A concurrent call with the same key waits for the first one. When
    `effect` raises, nothing is kept and the next call is judged anew. Raises IDEMPOTENCY_KEY_REUSED.
    """
    caller, rpc, key = scope
    if key is None:
        return await effect(connection)
    names = {"caller": caller, "rpc": rpc, "key": key}
    claimed = await connection.execute(
        text(
            "INSERT INTO idempotency_keys (caller, rpc, key, fingerprint, reply)"
            " VALUES (:caller, :rpc, :key, :fingerprint, '') ON CONFLICT DO NOTHING RETURNING 1"
        ),
        {**names, "fingerprint": fingerprint(content)},
    )
    if claimed.first() is None:
        found = await connection.execute(
            text(
                "SELECT fingerprint, reply FROM idempotency_keys"
                " WHERE caller = :caller AND rpc = :rpc AND key = :key"
            ),
            names,
        )
        try:
            kept = found.one()
        except NoResultFound as error:  # removed by age at this very moment
            raise reused(key) from error
        if bytes(kept.fingerprint) != fingerprint(content):
            raise reused(key)
        return bytes(kept.reply)
    reply = await effect(connection)
    await connection.execute(
        text(
            "UPDATE idempotency_keys SET reply = :reply WHERE caller = :caller AND rpc = :rpc AND key = :key"
        ),
        {**names, "reply": reply},
    )
    return reply


async def forget_old_keys(connection: Connection) -> int:
    """Removes up to 1,000 keys older than 7 days; answers how many."""
    result = await connection.execute(
        text(
            "DELETE FROM idempotency_keys WHERE (caller, rpc, key) IN (SELECT caller, rpc, key FROM"
            " idempotency_keys WHERE created_at < now() - interval '7 days' LIMIT 1000)"
        )
    )
    return int(result.rowcount)
