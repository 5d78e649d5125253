"""Why an order is refused."""

from __future__ import annotations

from uuid import UUID

from services.common.errors import DomainError


def order_not_found(order_id: UUID) -> DomainError:
    """There is no such order, or it is another member's."""
    return DomainError("ORDER_NOT_FOUND", "no such order", order_id=order_id)
