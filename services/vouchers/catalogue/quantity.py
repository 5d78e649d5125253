"""What is left of a voucher, for crowds that watch it."""

from __future__ import annotations

import asyncio
import time
from uuid import UUID

from services.common.db import Database
from services.vouchers.catalogue.queries import get_offer
from services.vouchers.catalogue.recent import Recent

_QUANTITY_SECONDS = 0.4
_VOUCHERS_KEPT = 1_000


class Quantities:
    """Reads a voucher's quantity once for all who ask at about the same time."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: Recent[UUID, _Quantity] = Recent(_Quantity, _VOUCHERS_KEPT)

    async def left(self, voucher_id: UUID) -> int:
        """Returns what is left, at most 0.4 s old. Raises VOUCHER_NOT_FOUND when it is not on sale."""
        known = self._known.of(voucher_id)
        async with known.lock:
            if time.monotonic() - known.read_at > _QUANTITY_SECONDS:
                known.left = (await self._db.read(get_offer, voucher_id)).quantity_left
                known.read_at = time.monotonic()
        return known.left


class _Quantity:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.read_at = float("-inf")
        self.left = 0
