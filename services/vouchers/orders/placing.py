"""Limited quantity under a crowd: a gate that turns it away cheaply, and a cap before the hot row.

PostgreSQL decides; the gate only repeats its refusal for a second. It is asked only for vouchers that were
sold out of late, so most orders cost no call of Redis.
"""

from __future__ import annotations

import asyncio
import time
from uuid import UUID

from services.common.cache import Flags
from services.common.db import Database
from services.common.errors import DomainError
from services.vouchers.catalogue import Recent, sold_out
from services.vouchers.orders.commands import place_order, same_order
from services.vouchers.orders.queries import OrderRow, find_order

_ORDERS_AT_ONCE = 4
"""Transactions per voucher and process: more only wait for each other's row lock."""
_VOUCHERS_KEPT = 1_000
_ASKED_SECONDS = 60.0
"""How long after a refusal this process asks the gate before it asks PostgreSQL."""


class Placing:
    """Places orders while there is stock."""

    def __init__(self, db: Database, sold_out_flags: Flags, *, lease_seconds: int) -> None:
        self._db = db
        self._sold_out = sold_out_flags
        self._lease_seconds = lease_seconds
        self._vouchers: Recent[UUID, _Voucher] = Recent(_Voucher, _VOUCHERS_KEPT)

    async def place(self, *, member_id: UUID, voucher_id: UUID, key: str) -> OrderRow:
        """Places an order; returns it, or the one that has this key. Raises as `place_order` does."""
        voucher = self._vouchers.of(voucher_id)
        if time.monotonic() < voucher.ask_until and await self._sold_out.is_set(str(voucher_id)):
            existing = await self._db.read(find_order, member_id, key)
            if existing is None:
                raise sold_out(voucher_id)
            return same_order(existing, voucher_id, key)
        async with voucher.slots:
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
                    voucher.ask_until = time.monotonic() + _ASKED_SECONDS
                    await self._sold_out.set(str(voucher_id))
                raise

    async def reopen(self, voucher_id: UUID) -> None:
        """Lets orders through again, because stock came back."""
        await self._sold_out.clear(str(voucher_id))


class _Voucher:
    def __init__(self) -> None:
        self.slots = asyncio.Semaphore(_ORDERS_AT_ONCE)
        self.ask_until = float("-inf")
