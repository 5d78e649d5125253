"""What makes a sale the same one."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID


class Sale(NamedTuple):
    """A sale: who redeems, at which of its tills, and the sale's reference there."""

    caller_id: UUID
    till_number: str
    sale_reference: str
