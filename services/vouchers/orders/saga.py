"""The order, the one thing that spans services.

    1  vouchers  one transaction: order PENDING, stock taken      (placing.py)
    2  points    debit(order)
    3  promos    assign codes(order, owner)
    4  vouchers  PENDING -> COMPLETED, into the wallet            (ending.py)

Orders that are at the same step at the same time share its statement or its call.

Every step is keyed by the order's id, so any process may repeat it at any time, also from a state that is out
of date: a change of state names the one it starts from, and when that has passed, the order is read again.
A definite refusal leads to UNDOING, which is committed before anything is undone; then codes are released and
the debit undone, even when neither is known to have happened, for each leaves a tombstone that refuses this
order for ever. An unknown outcome is never guessed: it is asked again with the same key, here for a while and
later by the sweep.

What fails in any other way is a defect, of this order or of a program: it is logged and set aside for growing
waits (`services/common/set_aside.py`), and no other order waits for it.

A command is one transaction. The saga is several: each of its steps commits on its own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import assert_never
from uuid import UUID

from services.common.db import Database
from services.common.errors import DomainError, OutcomeUnknownError, described, is_away
from services.common.set_aside import ORDER, set_aside
from services.vouchers.orders.clients import OrderCodes, OrderPoints
from services.vouchers.orders.commands import MOST_CLAIMED, claim_overdue_orders, start_undoing
from services.vouchers.orders.ending import Completing, Failing
from services.vouchers.orders.queries import OrderRow, get_order

log = logging.getLogger(__name__)

SWEEP_SECONDS = 2.0
_FIRST_WAIT, _LONGEST_WAIT = 0.05, 1.0
_WORKED_ON_AT_ONCE = 400
"""Orders per process: as many as two statements or calls take."""
_WAITED_FOR = ("CODE_SET_NOT_FOUND",)  # the voucher's codes are on their way to promos


class OrderSaga:
    """Finishes orders, one way or the other."""

    def __init__(
        self,
        db: Database,
        points: OrderPoints,
        codes: OrderCodes,
        completing: Completing,
        failing: Failing,
        *,
        lease_seconds: int,
    ) -> None:
        self._db = db
        self._points = points
        self._codes = codes
        self._completing = completing
        self._failing = failing
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
        """Takes over orders that nobody finished in time; does not wait for them.

        At most 100 are worked on at a time: those that wait for what is away hold up the others only then.
        """
        room = MOST_CLAIMED - len(self._running)
        if room <= 0:
            return
        overdue = await self._db.run(claim_overdue_orders, lease_seconds=self._lease_seconds, most=room)
        if overdue:
            log.info("taking over %d orders", len(overdue))
        for order in overdue:
            _ = self.start(order)

    async def _work_on(self, order: OrderRow) -> OrderRow:
        """Repeats the order's next steps until it is finished, its lease is over, or it is set aside."""
        until = time.monotonic() + self._lease_seconds
        wait = _FIRST_WAIT
        while True:
            try:
                async with self._slots:
                    while order.open:
                        order = await self._step(order)
                    return order
            except Exception as error:  # noqa: BLE001  # whatever it is, no other order may wait for it
                if not _passes(error):
                    await self._set_aside(order, error)
                    return order
                if wait == _FIRST_WAIT:  # once, and not at each try
                    log.info("order %s waits: %s", order.id, error)
            if time.monotonic() + wait > until:
                return order
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)

    async def _set_aside(self, order: OrderRow, error: Exception) -> None:
        log.error("order %s is set aside", order.id, exc_info=error)
        try:
            await self._db.run(set_aside, ORDER, str(order.id), described(error))
        except Exception:
            log.exception("order %s is not even set aside: it is tried again after its lease", order.id)

    async def _step(self, order: OrderRow) -> OrderRow:
        """Does what the order's state asks for; returns the order as it is then."""
        after: OrderRow | None
        match order.state:
            case "PENDING":
                after = await self._complete(order)
            case "UNDOING":
                after = await self._undo(order)
            case "COMPLETED" | "FAILED" | "AWAITING_PAYMENT" | "CANCELLED" | "REFUNDING" | "REFUNDED":
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
            code_ids = await self._codes.assign(order)
        except OutcomeUnknownError:
            raise
        except DomainError as refusal:
            if refusal.reason in _WAITED_FOR:
                raise
            return await self._db.run_autocommit(start_undoing, order_id=order.id, refusal=refusal)
        return await self._completing.complete(order, code_ids)

    async def _undo(self, order: OrderRow) -> OrderRow | None:
        """Takes everything back; returns None when another process ended the order.

        Codes go first, so that none is usable without having been paid.
        """
        await self._codes.release(order)
        await self._points.undo_debit(order)
        return await self._failing.fail(order)


def _passes(error: Exception) -> bool:
    """Returns whether to ask again in a moment helps."""
    return is_away(error) or (isinstance(error, DomainError) and error.reason in _WAITED_FOR)
