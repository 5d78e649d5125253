"""Orders in the database, as their steps change them: each change commits on its own."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from services.common.db import Database
from services.common.errors import DomainError
from services.common.set_aside import ORDER, set_aside
from services.vouchers.orders import transitions
from services.vouchers.orders.commands import claim_overdue_orders
from services.vouchers.orders.ending import Completing, Failing
from services.vouchers.orders.queries import OrderRow, get_order


class DatabaseOrderStore:
    """Implements `steps.OrderStore`, and what the saga asks of orders that nobody works on."""

    def __init__(
        self, db: Database, completing: Completing, failing: Failing, *, lease_seconds: float
    ) -> None:
        self._db = db
        self._lease_seconds = lease_seconds
        self.complete = completing.complete
        self.fail = failing.fail

    async def get(self, order_id: UUID) -> OrderRow:
        """Returns the order as it is."""
        return await self._db.read(get_order, order_id)

    async def await_payment(self, order: OrderRow) -> OrderRow | None:
        """PENDING -> AWAITING_PAYMENT."""
        return await self._db.run_autocommit(transitions.await_payment, order_id=order.id)

    async def await_codes(self, order: OrderRow) -> OrderRow | None:
        """PENDING, and notes that the order waits for its codes."""
        return await self._db.run_autocommit(transitions.await_codes, order_id=order.id)

    async def resume(self, order: OrderRow) -> OrderRow | None:
        """AWAITING_PAYMENT -> PENDING."""
        return await self._db.run_autocommit(
            transitions.resume, order_id=order.id, lease_seconds=self._lease_seconds
        )

    async def expire(self, order: OrderRow) -> OrderRow | None:
        """AWAITING_PAYMENT -> UNDOING, if the time to pay is over."""
        return await self._db.run_autocommit(transitions.expire, order_id=order.id)

    async def start_undoing(self, order: OrderRow, refusal: DomainError) -> OrderRow | None:
        """PENDING or AWAITING_PAYMENT -> UNDOING, and why."""
        return await self._db.run_autocommit(transitions.start_undoing, order_id=order.id, refusal=refusal)

    async def refuse_refund(self, order: OrderRow) -> OrderRow | None:
        """REFUNDING -> COMPLETED."""
        return await self._db.run_autocommit(transitions.refuse_refund, order_id=order.id)

    async def claim(self, most: int) -> Sequence[OrderRow]:
        """Returns orders whose time is over, each with a new one."""
        return await self._db.run(claim_overdue_orders, lease_seconds=self._lease_seconds, most=most)

    async def set_aside(self, order_id: UUID, error: str) -> None:
        """Sets an order aside for a growing time."""
        await self._db.run(set_aside, ORDER, str(order_id), error)
