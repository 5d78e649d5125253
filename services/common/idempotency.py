"""One key, at most one effect: the key, its fingerprint, the effect and the reply commit together."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from services.common.db import Connection, execute, fetch_first, fetch_value
from services.common.errors import DomainError

_KEY = re.compile(r"[\x21-\x7e]{1,128}")


def parse_key(value: str | None, *, required: bool) -> str | None:
    """Returns the `Idempotency-Key` of a call. Raises IDEMPOTENCY_KEY_REQUIRED if missing or malformed."""
    if not value and not required:
        return None
    if not value or not _KEY.fullmatch(value):
        raise DomainError(
            "IDEMPOTENCY_KEY_REQUIRED",
            "send an Idempotency-Key header of 1 to 128 visible characters, new for every intended effect",
        )
    return value


def fingerprint(content: bytes) -> bytes:
    """Returns a digest by which contents are compared."""
    return hashlib.sha256(content).digest()


def reused(key: str) -> DomainError:
    """The key came before with other content."""
    return DomainError(
        "IDEMPOTENCY_KEY_REUSED", "this Idempotency-Key was used with other content", idempotency_key=key
    )


@dataclass(frozen=True, slots=True)
class _Kept:
    fingerprint: bytes
    reply: bytes


async def run_once(
    connection: Connection,
    scope: tuple[str, str, str | None],
    content: bytes,
    effect: Callable[[Connection], Awaitable[bytes]],
) -> bytes:
    """Runs `effect` once per `scope` (caller, RPC, key) and returns its reply, now and later.

    Without a key it simply runs. A concurrent call with the same key waits for the first one. When
    `effect` raises, nothing is kept and the next call is judged anew. Raises IDEMPOTENCY_KEY_REUSED.
    """
    caller, rpc, key = scope
    if key is None:
        return await effect(connection)
    names = {"caller": caller, "rpc": rpc, "key": key}
    claimed = await fetch_value(
        connection,
        """
        INSERT INTO idempotency_keys (caller, rpc, key, fingerprint, reply)
        VALUES (%(caller)s, %(rpc)s, %(key)s, %(fingerprint)s, '')
        ON CONFLICT DO NOTHING RETURNING true
        """,
        fingerprint=fingerprint(content),
        **names,
    )
    if not claimed:
        kept = await fetch_first(
            connection,
            _Kept,
            """
            SELECT fingerprint, reply FROM idempotency_keys
            WHERE caller = %(caller)s AND rpc = %(rpc)s AND key = %(key)s
            """,
            **names,
        )
        # None when it was removed by age at this very moment.
        if kept is None or kept.fingerprint != fingerprint(content):
            raise reused(key)
        return kept.reply
    reply = await effect(connection)
    await execute(
        connection,
        """
        UPDATE idempotency_keys SET reply = %(reply)s
        WHERE caller = %(caller)s AND rpc = %(rpc)s AND key = %(key)s
        """,
        reply=reply,
        **names,
    )
    return reply


async def forget_old_keys(connection: Connection) -> int:
    """Removes up to 1,000 keys older than 7 days; returns how many."""
    return await execute(
        connection,
        """
        DELETE FROM idempotency_keys WHERE (caller, rpc, key) IN (
          SELECT caller, rpc, key FROM idempotency_keys
          WHERE created_at < now() - interval '7 days' LIMIT 1000
        )
        """,
    )
