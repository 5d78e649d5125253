"""What the lines of a sale come to: the same for receipts and for baskets."""

from __future__ import annotations

from services.common.errors import DomainError

MAX_TOTAL_MINOR = 10**11
"""The most that a sale may come to, in minor units."""


def usual_total(unit_price_minor: int, quantity: int, quantity_milli: int) -> int:
    """Returns what a line costs without a total of its own: a fraction is rounded half up.

    It is `quantity` whole pieces, or `quantity_milli` thousandths of what the price is for; the other is 0.
    """
    if quantity:
        return unit_price_minor * quantity
    return (unit_price_minor * quantity_milli + 500) // 1_000


def receipt_too_large() -> DomainError:
    """The lines come to more than Scrip accepts."""
    return DomainError(
        "RECEIPT_TOO_LARGE",
        f"a receipt's total may be {MAX_TOTAL_MINOR} minor units at most",
        limit_minor=MAX_TOTAL_MINOR,
    )
