"""What orders cost, against a model of its own."""

from __future__ import annotations

import random
from dataclasses import dataclass
from fractions import Fraction
from uuid import UUID

import pytest

from services.common.errors import DomainError
from services.common.ids import new_id
from services.vouchers.catalogue import PriceRule
from services.vouchers.payments import MethodDiscount
from services.vouchers.payments.discounts import AmountOff, PercentOff
from services.vouchers.quotes.prices import price_order

CASES = 5_000
_POINTS, _MONEY = "points", "money"


@dataclass(frozen=True)
class Voucher:
    """A voucher's price."""

    id: UUID
    price_points: int
    price_minor: int | None
    price_rule: PriceRule


def paid(voucher: Voucher, *, with_money: bool) -> set[str] | None:
    """Returns what is paid, None when it can not be paid so: by the table of the contract."""
    has = {_POINTS: voucher.price_points > 0, _MONEY: voucher.price_minor is not None}
    match has[_POINTS], has[_MONEY], voucher.price_rule, with_money:
        case True, True, "TOGETHER", True:
            return {_POINTS, _MONEY}
        case True, True, "EITHER", _:
            return {_MONEY} if with_money else {_POINTS}
        case True, False, _, False:
            return {_POINTS}
        case False, True, _, True:
            return {_MONEY}
        case _:
            return None


def off(discount: MethodDiscount | None, piece: int, quantity: int) -> int:
    """Returns what a payment method takes off, in fractions."""
    if discount is None:
        return 0
    if isinstance(discount, AmountOff):
        return sum(min(discount.amount_minor, piece) for _ in range(quantity))
    exact = Fraction(piece * quantity * discount.percent, 100)
    whole = exact.numerator // exact.denominator
    return whole + (1 if exact - whole >= Fraction(1, 2) else 0)


@pytest.mark.covers("V2 OrderService.QuoteOrder")
def test_prices_are_those_of_the_model_and_never_below_zero() -> None:
    chance = random.Random(11)  # the same cases in each run
    outcomes: set[object] = set()
    for _ in range(CASES):
        money = chance.choice([None, 1, 3, 99, chance.randrange(1, 10**9)])
        voucher = Voucher(
            new_id(),
            chance.choice([0, 1, chance.randrange(1, 10**9)]) if money else chance.randrange(1, 10**9),
            money,
            chance.choice(["EITHER", "TOGETHER"]) if money else "EITHER",
        )
        if voucher.price_points == 0:
            voucher = Voucher(voucher.id, 0, money, "EITHER")
        quantity, with_money = chance.randrange(1, 21), chance.random() < 0.6
        discount = chance.choice(
            [None, PercentOff(chance.randrange(1, 101)), AmountOff(chance.randrange(1, 1_000))]
        )
        what = paid(voucher, with_money=with_money)
        points = voucher.price_points * quantity if what and _POINTS in what else 0
        expected: object = "VALIDATION_FAILED" if what or money is None else "PAYMENT_METHOD_REQUIRED"
        if what is not None and points < 2**31:
            listed = (money or 0) * quantity if _MONEY in what else 0
            taken = off(discount, money or 0, quantity) if _MONEY in what else 0
            expected = (points, listed, taken, listed - taken)
        found: object
        try:
            price = price_order(voucher, quantity, with_money=with_money, discount=discount)
            found = (price.points, price.list_minor, price.by_method_minor, price.amount_minor)
        except DomainError as refusal:
            found = refusal.reason
        else:
            promo = chance.randrange(1, 2 * price.list_minor + 2)
            less = price.less(promo)
            assert less.amount_minor == max(0, price.amount_minor - promo) >= 0
            assert less.list_minor - less.by_method_minor - less.by_promo_code_minor == less.amount_minor
        assert found == expected, (voucher, quantity, with_money, discount)
        outcomes.add(found if isinstance(found, str) else frozenset(what or ()))
    paid_with = map(frozenset, ({_POINTS}, {_MONEY}, {_POINTS, _MONEY}))
    assert outcomes == {"VALIDATION_FAILED", "PAYMENT_METHOD_REQUIRED", *paid_with}


@pytest.mark.covers("V2 OrderService.QuoteOrder")
@pytest.mark.parametrize(
    ("price_minor", "quantity", "percent", "amount_minor"),
    [
        (333, 3, 50, 499),  # 999 yen, 499.5 of them off, rounded half up: and not 3 * 167
        (1_005, 1, 10, 904),  # KWD 1.005: 100.5 fils
        (1, 1, 49, 1),
        (1, 1, 50, 0),
    ],
)
def test_percent_are_rounded_once_for_the_order_whatever_decimals_a_currency_has(
    price_minor: int, quantity: int, percent: int, amount_minor: int
) -> None:
    voucher = Voucher(new_id(), 0, price_minor, "EITHER")
    price = price_order(voucher, quantity, with_money=True, discount=PercentOff(percent))
    assert price.amount_minor == amount_minor
