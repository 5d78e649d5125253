"""Telling vouchers where the codes of its orders stand."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.sql import SQL

from services.common import outbox
from services.common.db import Connection, fetch_all
from services.promos.codes.queries import STATE, CodeState

TOPIC = "code_state"
RECEIVER = "vouchers"


@dataclass(frozen=True, slots=True)
class _Changed:
    id: UUID
    version: int
    state: CodeState
    expires_at: datetime | None


_CHANGED = SQL(
    """
    SELECT c.id, c.version, {state} AS state, least(c.expires_at, s.expires_at) AS expires_at
    FROM codes c JOIN code_sets s ON s.id = c.code_set_id
    WHERE c.id = ANY(%(ids)s) AND c.order_id IS NOT NULL
    """
).format(state=STATE)


async def tell_code_states(connection: Connection, code_ids: Collection[UUID]) -> None:
    """Tells vouchers where those of these codes stand that orders own.

    For the transaction that changed them, which has them locked. That a code's time is over is no message:
    vouchers knows until when it is good.
    """
    if not code_ids:
        return
    changed = await fetch_all(connection, _Changed, _CHANGED, ids=list(code_ids))
    if changed:
        await outbox.put_all(
            connection,
            [
                outbox.NewMessage(
                    TOPIC,
                    RECEIVER,
                    str(code.id),
                    code.version,
                    {"state": code.state, "expires_at": code.expires_at},
                )
                for code in changed
            ],
        )
