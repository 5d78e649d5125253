"""PENDING -> COMPLETED: the order has its code."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from services.common.ids import new_id
from services.common.legacy_db import Connection


async def complete_order(connection: Connection, *, order_id: UUID, code_id: UUID) -> bool:
    """Completes a pending order and puts its voucher into the wallet; answers whether it did."""
    completed = await connection.execute(
        text(
            "WITH done AS (UPDATE orders SET state = 'COMPLETED' WHERE id = :id AND state = 'PENDING'"
            " RETURNING id, voucher_id, member_id)"
            " INSERT INTO wallet_vouchers (id, order_id, voucher_id, member_id, code_id)"
            " SELECT :wallet_id, id, voucher_id, member_id, :code_id FROM done RETURNING 1"
        ),
        {"id": order_id, "wallet_id": new_id(), "code_id": code_id},
    )
    return completed.first() is not None
