"""Members' balances as they are asked for most: from Redis, filled by readers and voided by writers.

Owns no table: the ledger's `accounts` decide.
"""

from __future__ import annotations

from services.points.balances.balances import BALANCE_KEYS as BALANCE_KEYS
from services.points.balances.balances import Balances as Balances
from services.points.balances.balances import in_cache as in_cache
from services.points.balances.leased_cache import LeasedCache as LeasedCache

__all__ = ["BALANCE_KEYS", "Balances", "LeasedCache", "in_cache"]
