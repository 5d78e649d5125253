"""What makes a sale the same one."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from services.common.caller import SERVICE, Caller

ORDERS = Caller(str(UUID(int=0)), SERVICE)
"""Who redeems the promo codes of orders of vouchers: it has no id, so redemptions have all zeros."""


class Sale(NamedTuple):
    """A sale: who redeems, at which of its tills, and the sale's reference there."""

    caller_id: UUID
    till_number: str
    sale_reference: str


def of_order(order_id: UUID) -> Sale:
    """Returns an order of vouchers as a sale."""
    return Sale(ORDERS.id, "", str(order_id))
