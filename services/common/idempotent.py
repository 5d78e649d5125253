"""Calls that take an effect at most once per `Idempotency-Key`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from google.protobuf.message import Message

from services.common.caller import caller
from services.common.db import Connection, Database
from services.common.encoding import Context, header
from services.common.idempotency import parse_key, run_once

Reply = TypeVar("Reply", bound=Message)


async def idempotent(
    db: Database,
    context: Context,
    request: Message,
    reply: type[Reply],
    effect: Callable[[Connection], Awaitable[Reply]],
    *,
    required: bool = True,
    content: bytes | None = None,
) -> Reply:
    """Runs `effect` in a transaction, once per caller, RPC and `Idempotency-Key`; returns its reply.

    A repetition gets the reply of the first call, and `effect` does not run. Without a key, where none is
    `required`, it simply runs. `content` is what makes two requests the same, if not all that is in them.
    Raises IDEMPOTENCY_KEY_REQUIRED, IDEMPOTENCY_KEY_REUSED for a key that came with another request, and what
    `effect` raises, after which the key is free.
    """
    key = parse_key(header(context, "idempotency-key"), required=required)
    rpc = request.DESCRIPTOR.name.removesuffix("Request")

    async def serialized(connection: Connection) -> bytes:
        return (await effect(connection)).SerializeToString()

    if content is None:
        content = request.SerializeToString(deterministic=True)
    kept = await db.run(run_once, (caller().subject, rpc, key), content, serialized)
    return reply.FromString(kept)
