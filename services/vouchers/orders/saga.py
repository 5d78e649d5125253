"""The order, the one thing that spans services.

    1  vouchers  one transaction: order PENDING, stock taken      (statements.place)
    2  points    debit(order)
    3  promos    assign a code(order, owner)
    4  vouchers  PENDING -> COMPLETED, into the wallet            (statements.complete)

Every step is keyed by the order's id, so any process may repeat it at any time, also from a state that is out
of date: a change of state names the one it starts from, and when that has passed, the order is read again.
A definite refusal leads to UNDOING, which is committed before anything is undone; then codes are released and
the debit undone, even when neither is known to have happened, for each leaves a tombstone that refuses this
order for ever. An unknown outcome is never guessed: it is asked again with the same key, here for a while and
later by the sweep.

A command is one transaction. The saga is several: each of its steps commits on its own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import assert_never
from uuid import UUID

from services.common.db import Database
from services.common.errors import DomainError, OutcomeUnknownError
from services.vouchers.orders import statements
from services.vouchers.orders.clients import OrderCodes, OrderPoints
from services.vouchers.orders.commands import claim_overdue_orders, start_undoing
from services.vouchers.orders.placing import Placing
from services.vouchers.orders.queries import OrderRow, get_order

log = logging.getLogger(__name__)

SWEEP_SECONDS = 2.0
_FIRST_WAIT, _LONGEST_WAIT = 0.05, 1.0
_WORKED_ON_AT_ONCE = 16
"""Orders per process: more would only wait for each other at the database."""
_WAITED_FOR = ("CODE_SET_NOT_FOUND",)  # the voucher's codes are on their way to promos


class OrderSaga:
    """Finishes orders, one way or the other."""

    def __init__(
        self, db: Database, points: OrderPoints, codes: OrderCodes, placing: Placing, *, lease_seconds: int
    ) -> None:
        self._db = db
        self._points = points
        self._codes = codes
        self._placing = placing
        self._lease_seconds = lease_seconds
        self._running: dict[UUID, asyncio.Task[OrderRow]] = {}
        self._slots = asyncio.Semaphore(_WORKED_ON_AT_ONCE)

    def start(self, order: OrderRow) -> asyncio.Task[OrderRow]:
        """Works on the order in a task of its own, which outlives the request that started it.

        The task returns the order as it is when it ended, or as it was last seen when its time is over.
        """
        task = self._running.get(order.id)
        if task is None:
            task = asyncio.create_task(self._work_on(order))
            self._running[order.id] = task
            task.add_done_callback(lambda _: self._running.pop(order.id, None))
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
            await asyncio.gather(*(self.start(order) for order in overdue))

    async def _work_on(self, order: OrderRow) -> OrderRow:
        """Repeats the order's next steps until it is finished or its lease is over."""
        until = time.monotonic() + self._lease_seconds
        wait = _FIRST_WAIT
        while True:
            try:
                async with self._slots:
                    while order.open:
                        order = await self._step(order)
                    return order
            except DomainError as error:
                log.info("order %s waits: %s", order.id, error)
            except Exception:  # one order that can not be finished must not stop the sweep of all others
                log.exception("order %s waits", order.id)
            if time.monotonic() + wait > until:
                return order
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)

    async def _step(self, order: OrderRow) -> OrderRow:
        """Does what the order's state asks for; returns the order as it is then."""
        after: OrderRow | None
        match order.state:
            case "PENDING":
                after = await self._complete(order)
            case "UNDOING":
                after = await self._undo(order)
            case "COMPLETED" | "FAILED":
                after = order
            case _:
                assert_never(order.state)
        if after is None:  # another process has brought the order on meanwhile
            return await self._db.read(get_order, order.id)
        return after

    async def _complete(self, order: OrderRow) -> OrderRow | None:
        """Steps 2 to 4, or the decision to undo; returns None when the order is not pending any more.

        Raises what leaves the outcome open.
        """
        try:
            await self._points.debit(order)
            code_id = await self._codes.assign(order)
        except OutcomeUnknownError:
            raise
        except DomainError as refusal:
            if refusal.reason in _WAITED_FOR:
                raise
            return await self._db.run_autocommit(start_undoing, order_id=order.id, refusal=refusal)
        return await self._db.run_autocommit(statements.complete, order_id=order.id, code_id=code_id)

    async def _undo(self, order: OrderRow) -> OrderRow | None:
        """Takes everything back; returns None when another process ended the order.

        Codes go first, so that none is usable without having been paid.
        """
        await self._codes.release(order)
        await self._points.undo_debit(order)
        failed = await self._db.run_autocommit(statements.fail, order_id=order.id)
        if failed:
            await self._placing.reopen(order.voucher_id)
        return failed
