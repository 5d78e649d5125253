"""The order, the one thing that spans services: who works on it, how long, and what waits for what.

`steps.py` tells what its states ask for. An unknown outcome is never guessed: it is asked again with the same
key, here for a while and later by the sweep. What fails in any other way is a defect, of this order or of a
program: it is logged and set aside for growing waits (`services/common/set_aside.py`), and no other order
waits for it.

An order whose codes are short stays PENDING until they are there. Who placed it tries for a while; from then
on the sweep tries once whenever its lease is over, so that many such orders keep no others waiting.

A command is one transaction. The saga is several: each of its steps commits on its own. A card is nowhere but
in the memory of the request that brought it: when that is gone, the order waits until it comes again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from services.common.errors import DomainError, described, is_away
from services.vouchers.orders.queries import OrderRow
from services.vouchers.orders.refusals import ORDER_NOT_FOUND
from services.vouchers.orders.steps import NO_TENDER, OrderSteps, Tender

log = logging.getLogger(__name__)

SWEEP_SECONDS = 2.0
MOST_CLAIMED = 100
_FIRST_WAIT, _LONGEST_WAIT = 0.05, 1.0
_WORKED_ON_AT_ONCE = 400
"""Orders per process: as many as two statements or calls take."""
_PAYING_AT_ONCE = 64
"""Orders with money have places of their own, so that a slow provider holds up no others."""


class OpenOrders(Protocol):
    """The orders that are not finished."""

    async def get(self, order_id: UUID) -> OrderRow:
        """Returns an order."""

    async def claim(self, most: int) -> Sequence[OrderRow]:
        """Returns so many at most whose time is over, each with a new one."""

    async def set_aside(self, order_id: UUID, error: str) -> None:
        """Sets one aside for a growing time, with its error as staff may see it."""


class OrderSaga:
    """Finishes orders, one way or the other."""

    def __init__(self, steps: OrderSteps, store: OpenOrders, *, lease_seconds: float) -> None:
        self._steps = steps
        self._store = store
        self._lease_seconds = lease_seconds
        self._running: dict[UUID, asyncio.Task[OrderRow]] = {}
        self._tenders: dict[UUID, Tender] = {}
        self._once_more: set[UUID] = set()
        self._slots = asyncio.Semaphore(_WORKED_ON_AT_ONCE)
        self._paying = asyncio.Semaphore(_PAYING_AT_ONCE)

    def start(self, order: OrderRow, tender: Tender = NO_TENDER) -> asyncio.Task[OrderRow]:
        """Works on the order in a task of its own, which outlives the request that started it.

        The task returns the order as it is when it ended, as it waits for the member, or as it was last seen
        when its time is over.
        """
        if tender.card is not None or order.id not in self._tenders:
            self._tenders[order.id] = tender
        task = self._running.get(order.id)
        if task is not None and not task.done():
            self._once_more.add(order.id)
            return task
        task = asyncio.create_task(self._work_on(order))
        self._running[order.id] = task
        task.add_done_callback(lambda done: self._ended(order.id, done))
        return task

    async def finish(self, order: OrderRow, tender: Tender = NO_TENDER, *, seconds: float) -> OrderRow:
        """Works on an open order and waits for it, so long at most; returns it as it is then."""
        task = self.start(order, tender)
        await asyncio.wait([task], timeout=seconds)
        if task.done():
            order = task.result()
        return await self._store.get(order.id) if order.open else order

    def _ended(self, order_id: UUID, task: asyncio.Task[OrderRow]) -> None:
        if self._running.get(order_id) is task:
            del self._running[order_id]
            self._tenders.pop(order_id, None)
            self._once_more.discard(order_id)

    async def wake(self, order_id: UUID) -> None:
        """Has an order go on, of whose payment something was heard; does not wait for it.

        A payment without an order is no reason to refuse what its provider tells.
        """
        try:
            order = await self._store.get(order_id)
        except DomainError as error:
            if error.reason != ORDER_NOT_FOUND:
                raise
            log.warning("a payment without an order: %s", order_id)
            return
        if order.open:
            _ = self.start(order)

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
        overdue = await self._store.claim(room)
        if overdue:
            log.info("taking over %d orders", len(overdue))
        for order in overdue:
            _ = self.start(order)

    async def _work_on(self, order: OrderRow) -> OrderRow:
        """Repeats the order's next steps until nothing is left to do, its lease ends or it is set aside."""
        until = time.monotonic() + self._lease_seconds
        wait = _FIRST_WAIT
        patient = order.codes_awaited_at is not None
        while True:
            try:
                async with self._paying if order.amount_minor else self._slots:
                    before, order = order, await self._step(order)
            except Exception as error:  # noqa: BLE001  # whatever it is, no other order may wait for it
                if not is_away(error):
                    await self._put_aside(order, error)
                    return order
                waits_for = str(error)
            else:
                if self._rests(before, order):
                    return order
                if not before.state == order.state == "PENDING":
                    continue
                if patient:
                    return order
                waits_for = "its codes"
            if wait == _FIRST_WAIT:  # once, and not at each try
                log.info("order %s waits for %s", order.id, waits_for)
            if time.monotonic() + wait > until:
                return order
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)

    async def _step(self, order: OrderRow) -> OrderRow:
        self._once_more.discard(order.id)
        return await self._steps.take(order, self._tenders.get(order.id, NO_TENDER))

    def _rests(self, before: OrderRow, after: OrderRow) -> bool:
        """Returns whether nothing is left to do now.

        An order that has come to wait for its payment is asked about once more, for the member may have paid
        meanwhile; so is one for which a card or a word of the provider came during the step.
        """
        if after.id in self._once_more:
            return False
        return not after.open or after.state == before.state == "AWAITING_PAYMENT"

    async def _put_aside(self, order: OrderRow, error: Exception) -> None:
        log.error("order %s is set aside", order.id, exc_info=error)
        try:
            await self._store.set_aside(order.id, described(error))
        except Exception:
            log.exception("order %s is not even set aside: it is tried again after its lease", order.id)
