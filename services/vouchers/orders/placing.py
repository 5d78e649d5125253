"""Placing orders at volume: what waits at the same time shares statements, and sold out is said cheaply."""

from __future__ import annotations

import time
from uuid import UUID

from services.common.batching import Batcher
from services.common.db import Database
from services.common.errors import DomainError
from services.vouchers.catalogue import QuantityChanges
from services.vouchers.orders.new_orders import NewOrder, Placed, judge_orders, place_orders
from services.vouchers.orders.queries import OrderRow

_SOLD_OUT_SECONDS = 1.0
_MOST_SOLD_OUT = 10_000


class Placing:
    """Places orders while there is stock.

    A voucher that was sold out a moment ago is only read: that locks nothing, and a repetition still finds
    its order. Whether it is sold out is never taken from memory.
    """

    def __init__(
        self, db: Database, changes: QuantityChanges, *, lease_seconds: int, codes_ahead: int
    ) -> None:
        self._db = db
        self._changes = changes
        self._lease_seconds = lease_seconds
        self._codes_ahead = codes_ahead
        self._batches: Batcher[NewOrder, OrderRow] = Batcher("orders", self._place_batch)
        self._sold_out: dict[UUID, float] = {}

    async def place(self, new: NewOrder) -> OrderRow:
        """Places an order; returns it, or the one that has this key. Raises what `place_orders` returns."""
        return await self._batches.submit(new)

    async def drain(self) -> None:
        """Waits for what is under way."""
        await self._batches.close()

    async def _place_batch(self, batch: list[NewOrder]) -> list[Placed]:
        outcomes: dict[int, Placed] = {}
        read_first = {place: new for place, new in enumerate(batch) if self._seems_sold_out(new)}
        if read_first:
            outcomes |= await self._db.read(judge_orders, read_first)
        waiting = {place: new for place, new in enumerate(batch) if place not in outcomes}
        if waiting:
            placed = await self._db.run(
                place_orders,
                list(waiting.values()),
                lease_seconds=self._lease_seconds,
                codes_ahead=self._codes_ahead,
            )
            outcomes |= dict(zip(waiting, placed, strict=True))
            self._changes.tell({one.voucher_id for one in placed if isinstance(one, OrderRow)})
        for place, new in enumerate(batch):
            self._remember(new, outcomes[place])
        return [outcomes[place] for place in range(len(batch))]

    def _seems_sold_out(self, new: NewOrder) -> bool:
        return time.monotonic() < self._sold_out.get(new.voucher_id, 0.0)

    def _remember(self, new: NewOrder, outcome: Placed) -> None:
        if isinstance(outcome, DomainError) and outcome.reason == "SOLD_OUT":
            if len(self._sold_out) >= _MOST_SOLD_OUT:
                self._sold_out.clear()
            self._sold_out[new.voucher_id] = time.monotonic() + _SOLD_OUT_SECONDS
