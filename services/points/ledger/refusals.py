"""What the ledger refuses."""

from __future__ import annotations

from uuid import UUID

from services.common.errors import DomainError


def insufficient_points(*, required: int, available: int) -> DomainError:
    """The member has fewer points than are to be taken."""
    return DomainError(
        "INSUFFICIENT_POINTS",
        f"this costs {required} points and there are {available}",
        required=required,
        available=available,
    )


def debit_conflict(order_id: UUID) -> DomainError:
    """The order was debited before with other content."""
    return DomainError("DEBIT_CONFLICT", "the order came before with other content", order_id=order_id)


def order_undone(order_id: UUID) -> DomainError:
    """The order was undone, and can not be debited any more."""
    return DomainError("ORDER_UNDONE", "the order was undone", order_id=order_id)
