"""Why an order can not be priced, or a quote not be used."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from services.common.errors import DomainError, invalid_field


def quote_not_found(quote_id: UUID) -> DomainError:
    """There is no such quote, or it is another member's."""
    return DomainError("QUOTE_NOT_FOUND", "no such quote", quote_id=quote_id)


def quote_expired(quote_id: UUID, expired_at: datetime) -> DomainError:
    """The quote's time is over."""
    moment = expired_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return DomainError(
        "QUOTE_EXPIRED", f"the quote expired at {moment}", quote_id=quote_id, expired_at=moment
    )


def quote_used(quote_id: UUID) -> DomainError:
    """The quote was used with another key."""
    return DomainError("QUOTE_USED", "the quote was used for another order", quote_id=quote_id)


def payment_method_required(voucher_id: UUID) -> DomainError:
    """Points alone do not buy the voucher."""
    return DomainError(
        "PAYMENT_METHOD_REQUIRED", "this voucher costs money: name a payment method", voucher_id=voucher_id
    )


def no_price_in_money() -> DomainError:
    """The voucher costs points alone."""
    return invalid_field("payment_method_id", "must be empty: this voucher costs points alone")


def too_many_points() -> DomainError:
    """The order would cost more points than there can be."""
    return invalid_field("quantity", "comes to more points than there can be")


def nothing_for_promo_code() -> DomainError:
    """No money is paid that a promo code could take something off."""
    return invalid_field("promo_code", "takes something off a price in money, and this order has none")
