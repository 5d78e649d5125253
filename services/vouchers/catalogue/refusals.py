"""Why a voucher can not be had."""

from __future__ import annotations

from uuid import UUID

from services.common.errors import DomainError


def voucher_not_found(voucher_id: UUID) -> DomainError:
    """There is no such voucher, or none that the caller may see."""
    return DomainError("VOUCHER_NOT_FOUND", "no such voucher", voucher_id=voucher_id)


def voucher_not_on_sale(voucher_id: UUID) -> DomainError:
    """The sale has not begun, or is over."""
    return DomainError("VOUCHER_NOT_ON_SALE", "this voucher is not on sale now", voucher_id=voucher_id)


def sold_out(voucher_id: UUID, *, left: int = 0) -> DomainError:
    """Nothing is left, or less than was ordered."""
    message = f"only {left} are left of this voucher" if left else "nothing is left of this voucher"
    return DomainError("SOLD_OUT", message, voucher_id=voucher_id, left=left)
