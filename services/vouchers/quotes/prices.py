"""What an order costs. Knows no gRPC and no SQL.

All amounts are of the whole order, in minor units. Discounts touch the money alone: that of the payment
method first, then that of the promo code on what is left of it; nothing goes below zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol
from uuid import UUID

from services.vouchers.catalogue import PriceRule
from services.vouchers.payments import MethodDiscount, discount_of
from services.vouchers.quotes import refusals

_MOST_POINTS = 2**31 - 1


class Priced(Protocol):
    """A voucher, as far as its price goes; prices are those of one piece."""

    @property
    def id(self) -> UUID:
        """Its id."""

    @property
    def price_points(self) -> int:
        """Its price in points; 0 for none."""

    @property
    def price_minor(self) -> int | None:
        """Its price in money."""

    @property
    def price_rule(self) -> PriceRule:
        """Whether both are paid, or one of them."""


@dataclass(frozen=True, slots=True)
class Price:
    """What an order costs."""

    points: int
    list_minor: int = 0
    """Money before discounts."""
    by_method_minor: int = 0
    by_promo_code_minor: int = 0

    @property
    def amount_minor(self) -> int:
        """What is paid in money."""
        return self.list_minor - self.by_method_minor - self.by_promo_code_minor

    def less(self, promo_minor: int) -> Price:
        """Returns the price with a promo code that takes so much off, of what is left at most."""
        return replace(self, by_promo_code_minor=min(promo_minor, self.list_minor - self.by_method_minor))


def price_order(
    voucher: Priced, quantity: int, *, with_money: bool, discount: MethodDiscount | None = None
) -> Price:
    """Returns what pieces of a voucher cost before a promo code.

    `with_money` is whether a payment method was named, and `discount` what that takes off. Raises
    PAYMENT_METHOD_REQUIRED, and VALIDATION_FAILED for money where none is asked, or too many points.
    """
    together = voucher.price_rule == "TOGETHER" and voucher.price_minor is not None
    if with_money and voucher.price_minor is None:
        raise refusals.no_price_in_money()
    if not with_money and (together or not voucher.price_points):
        raise refusals.payment_method_required(voucher.id)
    points = voucher.price_points * quantity if together or not with_money else 0
    if points > _MOST_POINTS:
        raise refusals.too_many_points()
    if not with_money or voucher.price_minor is None:
        return Price(points)
    return Price(points, voucher.price_minor * quantity, discount_of(discount, voucher.price_minor, quantity))


@dataclass(frozen=True, slots=True)
class PricedOrder:
    """What an order costs, and how it is paid. Discounts are those in the amount already.

    `price_points` is None for what the voucher costs when it is placed.
    """

    voucher_id: UUID
    quantity: int
    price_points: int | None
    amount_minor: int = 0
    currency_code: str | None = None
    method_discount_minor: int = 0
    promo_discount_minor: int = 0
    payment_method_id: UUID | None = None
    promo_code_id: UUID | None = None
