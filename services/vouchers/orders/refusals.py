"""Why an order is refused."""

from __future__ import annotations

from uuid import UUID

from services.common.errors import DomainError

ORDER_NOT_FOUND = "ORDER_NOT_FOUND"
ORDER_CODES_USED = "ORDER_CODES_USED"
"""promos does not release codes of which one was used."""
CODES_NOT_READY = "CODES_NOT_READY"
"""promos has too few codes of a voucher for now."""
ORDER_CANCELLED = "ORDER_CANCELLED"
"""Why an order ends CANCELLED and not FAILED."""


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


def order_codes_used(order_id: UUID) -> DomainError:
    """A code of the order was used, so that it is not refunded."""
    return DomainError("ORDER_CODES_USED", "a code of this order was used", order_id=order_id)


def order_not_cancellable(order_id: UUID, cause: str) -> DomainError:
    """The order can not be cancelled any more; `cause` tells why."""
    return DomainError(
        "ORDER_NOT_CANCELLABLE", "this order can not be cancelled any more", order_id=order_id, cause=cause
    )


def order_not_refundable(order_id: UUID, state: str) -> DomainError:
    """The order has brought nothing, or was refunded already."""
    return DomainError(
        "ORDER_NOT_REFUNDABLE", f"this order is {state.lower()}", order_id=order_id, state=state
    )


def order_cancelled(order_id: UUID) -> DomainError:
    """The order was cancelled before it was completed."""
    return DomainError("ORDER_CANCELLED", "the order was cancelled", order_id=order_id)


def payment_expired(order_id: UUID) -> DomainError:
    """The member did not pay in time."""
    return DomainError("ORDER_PAYMENT_EXPIRED", "the order was not paid for in time", order_id=order_id)


def amount_mismatch(amount_minor: int, currency_code: str) -> DomainError:
    """The caller believes that the order costs something else."""
    return DomainError(
        "AMOUNT_MISMATCH",
        "the order costs another amount",
        amount_minor=amount_minor,
        currency_code=currency_code,
    )


def codes_not_ready(voucher_id: UUID) -> DomainError:
    """The voucher's codes are being made; its set of codes has its id."""
    return DomainError("CODES_NOT_READY", "the codes are still being made", code_set_id=voucher_id)
