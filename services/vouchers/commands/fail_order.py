"""UNDOING -> FAILED: everything is undone, and the stock goes back with it."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from services.common.legacy_db import Connection


async def fail_order(connection: Connection, *, order_id: UUID) -> bool:
    """Ends an order that is being undone and gives its stock back, once; answers whether it did."""
    failed = await connection.execute(
        text(
            "WITH done AS (UPDATE orders SET state = 'FAILED' WHERE id = :id AND state = 'UNDOING'"
            " RETURNING voucher_id)"
            " UPDATE vouchers SET issued = issued - 1 FROM done WHERE vouchers.id = done.voucher_id"
            " RETURNING 1"
        ),
        {"id": order_id},
    )
    return failed.first() is not None
