"""A member's account as other rooms see it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Balance:
    """A member's balance, and the points that it owes, when the ledger had `version` entries."""

    member_id: UUID
    version: int
    balance: int
    debt: int = 0


OnMoved = Callable[[Iterable[UUID]], Awaitable[None]]
"""Called with the members whose points have moved: after the commit, before any response."""
