"""PENDING -> UNDOING: from here on the order can only fail."""

from __future__ import annotations

from uuid import UUID

import orjson
from sqlalchemy import text

from services.common.errors import DomainError
from services.common.legacy_db import Connection


async def start_undoing(connection: Connection, *, order_id: UUID, refusal: DomainError) -> None:
    """Gives a pending order up, and keeps why. Committed before anything is undone."""
    await connection.execute(
        text(
            "UPDATE orders SET state = 'UNDOING', failure_reason = :reason,"
            " failure_metadata = CAST(:metadata AS jsonb) WHERE id = :id AND state = 'PENDING'"
        ),
        {
            "id": order_id,
            "reason": refusal.reason,
            "metadata": orjson.dumps(refusal.metadata | {"message": refusal.message}).decode(),
        },
    )
