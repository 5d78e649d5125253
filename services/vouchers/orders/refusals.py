"""Why an order is refused."""

from __future__ import annotations

from uuid import UUID

from services.common.errors import DomainError


def order_not_found(order_id: UUID) -> DomainError:
    """There is no such order, or it is another member's."""
    return DomainError("ORDER_NOT_FOUND", "no such order", order_id=order_id)


def member_limit_reached(*, limit: int, ordered: int) -> DomainError:
    """The member would have more pieces of the voucher than one may have."""
    return DomainError(
        "MEMBER_LIMIT_REACHED",
        f"a member may order {limit} of this voucher, and {ordered} are ordered",
        limit=limit,
        ordered=ordered,
    )


def payment_method_required(voucher_id: UUID) -> DomainError:
    """Points alone do not buy the voucher."""
    return DomainError(
        "PAYMENT_METHOD_REQUIRED", "this voucher costs money: name a payment method", voucher_id=voucher_id
    )
