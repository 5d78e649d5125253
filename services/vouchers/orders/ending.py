"""The ends of orders: completed ones share statements, as those do that are placed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from services.common.batching import Batcher
from services.common.db import Database
from services.vouchers.catalogue import QuantityChanges
from services.vouchers.orders.commands import Completion, complete_orders, fail_order
from services.vouchers.orders.queries import OrderRow


class Completing:
    """Completes orders."""

    def __init__(self, db: Database, *, gifts_last: timedelta) -> None:
        self._db = db
        self._gifts_last = gifts_last
        self._batches: Batcher[Completion, OrderRow | None] = Batcher("completions", self._complete_batch)

    async def complete(self, order: OrderRow, code_ids: Sequence[UUID]) -> OrderRow | None:
        """PENDING -> COMPLETED, with its vouchers in the wallet; returns None when it is not pending."""
        is_gift = order.recipient_hash is not None
        return await self._batches.submit(Completion(order.id, code_ids, is_gift))

    async def drain(self) -> None:
        """Waits for what is under way."""
        await self._batches.close()

    async def _complete_batch(self, batch: list[Completion]) -> list[OrderRow | None]:
        # Without gifts it is one statement, and a repetition finds the orders completed: it needs no BEGIN
        # and COMMIT.
        run = self._db.run if any(one.is_gift for one in batch) else self._db.run_autocommit
        return await run(complete_orders, batch, gifts_last=self._gifts_last)


class Failing:
    """Ends orders of which everything is undone."""

    def __init__(self, db: Database, changes: QuantityChanges) -> None:
        self._db = db
        self._changes = changes

    async def fail(self, order: OrderRow) -> OrderRow | None:
        """UNDOING -> FAILED or CANCELLED, REFUNDING -> REFUNDED, and its stock goes back with it.

        Returns None when the order is in none of these states.
        """
        ended = await self._db.run(fail_order, order)
        if ended:
            self._changes.tell({ended.voucher_id})
        return ended
