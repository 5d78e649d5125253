"""Limited quantity under a crowd: a gate that turns it away cheaply, and a cap before the hot row.

PostgreSQL decides; the gate only repeats, for a second, what it said.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from services.common.cache import Flags
from services.common.errors import DomainError
from services.common.legacy_db import Database
from services.vouchers import queries
from services.vouchers.commands.place_order import place_order, same_order, sold_out
from services.vouchers.queries import OrderRow

T = TypeVar("T")

_ORDERS_AT_ONCE = 4
"""Transactions per voucher and process: more only wait for each other's row lock."""
_VOUCHERS_KEPT = 1_000
_QUANTITY_SECONDS = 0.4


class Stock:
    """Takes stock for orders and tells what is left."""

    def __init__(self, db: Database, sold_out_flags: Flags, *, lease_seconds: int) -> None:
        self._db = db
        self._sold_out = sold_out_flags
        self._lease_seconds = lease_seconds
        self._slots: OrderedDict[UUID, asyncio.Semaphore] = OrderedDict()
        self._quantities: OrderedDict[UUID, _Quantity] = OrderedDict()

    async def place(self, *, member_id: UUID, voucher_id: UUID, key: str) -> OrderRow:
        """Places an order, or answers the one that has this key. Raises as `place_order` does."""
        if await self._sold_out.is_set(str(voucher_id)):
            existing = await self._db.read(queries.find_order, member_id, key)
            if existing is None:
                raise sold_out(voucher_id)
            return same_order(existing, voucher_id, key)
        async with _kept(self._slots, voucher_id, lambda: asyncio.Semaphore(_ORDERS_AT_ONCE)):
            try:
                return await self._db.run(
                    place_order,
                    member_id=member_id,
                    voucher_id=voucher_id,
                    key=key,
                    lease_seconds=self._lease_seconds,
                )
            except DomainError as error:
                if error.reason == "SOLD_OUT":
                    await self._sold_out.set(str(voucher_id))
                raise

    async def reopen(self, voucher_id: UUID) -> None:
        """Stock came back."""
        await self._sold_out.clear(str(voucher_id))

    async def quantity_left(self, voucher_id: UUID) -> int:
        """What is left, at most 0.4 s old however many ask. Raises VOUCHER_NOT_FOUND when not on sale."""
        known = _kept(self._quantities, voucher_id, _Quantity)
        async with known.lock:
            if time.monotonic() - known.read_at > _QUANTITY_SECONDS:
                known.left = (await self._db.read(queries.get_offer, voucher_id)).quantity_left
                known.read_at = time.monotonic()
        return known.left


class _Quantity:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.read_at = float("-inf")
        self.left = 0


def _kept(kept: OrderedDict[UUID, T], key: UUID, make: Callable[[], T]) -> T:
    """The entry of a voucher, made when new; the least recently used one is forgotten beyond the bound."""
    entry = kept.get(key)
    if entry is None:
        entry = kept[key] = make()
        if len(kept) > _VOUCHERS_KEPT:
            kept.popitem(last=False)
    kept.move_to_end(key)
    return entry
