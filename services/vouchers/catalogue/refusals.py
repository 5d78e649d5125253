"""Why a voucher can not be had."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from services.common.errors import DomainError


def voucher_not_found(voucher_id: UUID) -> DomainError:
    """There is no such voucher, or none that the caller may see."""
    return DomainError("VOUCHER_NOT_FOUND", "no such voucher", voucher_id=voucher_id)


def voucher_not_on_sale(voucher_id: UUID) -> DomainError:
    """The sale has not begun, or is over."""
    return DomainError("VOUCHER_NOT_ON_SALE", "this voucher is not on sale now", voucher_id=voucher_id)


def voucher_has_codes(voucher_id: UUID, field: str) -> DomainError:
    """It was published, and its codes keep what they were made with."""
    return DomainError(
        "VOUCHER_HAS_CODES",
        f"{field} can not change any more, for codes are made",
        voucher_id=voucher_id,
        field=field,
    )


def voucher_quantity_too_small(voucher_id: UUID, issued: int) -> DomainError:
    """More is ordered than there shall be."""
    return DomainError(
        "VOUCHER_QUANTITY_TOO_SMALL",
        f"{issued} are ordered; there can not be fewer",
        voucher_id=voucher_id,
        issued=issued,
    )


def voucher_archived(voucher_id: UUID) -> DomainError:
    """It was put away for good."""
    return DomainError(
        "VOUCHER_ARCHIVED", "this voucher is archived and changes no more", voucher_id=voucher_id
    )


def voucher_not_published(voucher_id: UUID) -> DomainError:
    """It is a draft, and was never on sale."""
    return DomainError("VOUCHER_NOT_PUBLISHED", "this voucher is a draft", voucher_id=voucher_id)


def voucher_sale_over(voucher_id: UUID, sale_ends_at: datetime) -> DomainError:
    """It has an end of its sale that is past."""
    ended = sale_ends_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return DomainError(
        "VOUCHER_SALE_OVER", f"the sale ended at {ended}", voucher_id=voucher_id, sale_ends_at=ended
    )


def sold_out(voucher_id: UUID) -> DomainError:
    """Nothing is left."""
    return DomainError("SOLD_OUT", "nothing is left of this voucher", voucher_id=voucher_id)
