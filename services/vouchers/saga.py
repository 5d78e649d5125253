"""The order, the one thing that spans services.

    1  vouchers  one transaction: order PENDING, stock taken      (commands/place_order.py)
    2  points    debit(order)
    3  promos    assign a code(order, owner)
    4  vouchers  PENDING -> COMPLETED, into the wallet

Every step is keyed by the order's id, so anyone may repeat any step at any time. A definite no leads
to UNDOING, which is committed before anything is undone; then codes are released and the debit undone,
even when neither is known to have happened, for each leaves a tombstone that refuses this order for
ever. An unknown outcome is never guessed: it is asked again with the same key, here for a while and
later by the sweep.

This is one of the two places where a use case owns several transactions.
"""

from __future__ import annotations

import asyncio
import logging
import time
from uuid import UUID

from services.common.errors import DomainError, OutcomeUnknownError
from services.common.legacy_db import Database
from services.vouchers import queries
from services.vouchers.clients import PointsClient, PromosClient
from services.vouchers.commands.claim_overdue_orders import claim_overdue_orders
from services.vouchers.commands.complete_order import complete_order
from services.vouchers.commands.fail_order import fail_order
from services.vouchers.commands.start_undoing import start_undoing
from services.vouchers.queries import OrderRow
from services.vouchers.stock import Stock

log = logging.getLogger(__name__)

SWEEP_SECONDS = 2.0
_FIRST_WAIT, _LONGEST_WAIT = 0.05, 1.0
_WORKED_ON_AT_ONCE = 16
"""Orders per process: more would only wait for each other at the database."""
_WAITED_FOR = ("CODE_SET_NOT_FOUND",)  # the voucher's codes are on their way to promos


class OrderSaga:
    """Finishes orders, one way or the other."""

    def __init__(
        self, db: Database, points: PointsClient, promos: PromosClient, stock: Stock, *, lease_seconds: int
    ) -> None:
        self._db = db
        self._points = points
        self._promos = promos
        self._stock = stock
        self._lease_seconds = lease_seconds
        self._running: dict[UUID, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(_WORKED_ON_AT_ONCE)

    def start(self, order_id: UUID) -> asyncio.Task[None]:
        """Works on the order in a task of its own, which outlives the request that started it."""
        task = self._running.get(order_id)
        if task is None:
            task = asyncio.create_task(self._work_on(order_id))
            self._running[order_id] = task
            task.add_done_callback(lambda _: self._running.pop(order_id, None))
        return task

    async def drain(self) -> None:
        """Waits for the orders under way."""
        while self._running:
            await asyncio.wait(list(self._running.values()))

    async def sweep(self) -> None:
        """Takes over orders that nobody finished in time."""
        overdue = await self._db.run(claim_overdue_orders, lease_seconds=self._lease_seconds)
        if overdue:
            log.info("taking over %d orders", len(overdue))
            await asyncio.gather(*(self.start(order_id) for order_id in overdue))

    async def _work_on(self, order_id: UUID) -> None:
        """Repeats the order's next steps until it is finished or its lease is over."""
        until = time.monotonic() + self._lease_seconds
        wait = _FIRST_WAIT
        while True:
            try:
                async with self._slots:
                    while await self._step(order_id):
                        pass
            except DomainError as error:
                log.info("order %s waits: %s", order_id, error)
            else:
                return
            if time.monotonic() + wait > until:
                return
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)

    async def _step(self, order_id: UUID) -> bool:
        """Does what the order's state asks for; answers whether the order needs more."""
        order = await self._db.read(queries.get_order, order_id)
        if order.state == "PENDING":
            return not await self._complete(order)
        if order.state == "UNDOING":
            return not await self._undo(order)
        return False

    async def _complete(self, order: OrderRow) -> bool:
        """Steps 2 to 4, or the decision to undo; answers whether the order is complete.

        Raises what leaves the outcome open.
        """
        try:
            await self._points.debit(order)
            code_id = await self._promos.assign_code(order)
        except OutcomeUnknownError:
            raise
        except DomainError as refusal:
            if refusal.reason in _WAITED_FOR:
                raise
            await self._db.run(start_undoing, order_id=order.id, refusal=refusal)
            return False
        return await self._db.run(complete_order, order_id=order.id, code_id=code_id)

    async def _undo(self, order: OrderRow) -> bool:
        """Takes everything back; answers whether this call ended the order.

        Codes go first, so that none is usable without having been paid.
        """
        await self._promos.release_codes(order)
        await self._points.undo_debit(order)
        ended = await self._db.run(fail_order, order_id=order.id)
        if ended:
            await self._stock.reopen(order.voucher_id)
        return ended
