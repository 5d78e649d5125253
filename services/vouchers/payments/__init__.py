"""Paying with money: payment methods and their discounts, payments of orders, the providers that take them.

Owns `payment_methods`, `payment_discounts`, `payments`, and `sandbox_payments`, which stands for a system
outside. Knows no order: it is given an id, an amount and a method.
"""

from services.vouchers.payments.cards import Card as Card
from services.vouchers.payments.discounts import MethodDiscount as MethodDiscount
from services.vouchers.payments.discounts import discount_of as discount_of
from services.vouchers.payments.opening import Gateway as Gateway
from services.vouchers.payments.opening import open_payments as open_payments
from services.vouchers.payments.payments import SWEEP_SECONDS as SWEEP_SECONDS
from services.vouchers.payments.payments import Payments as Payments
from services.vouchers.payments.queries import PaymentRow as PaymentRow
from services.vouchers.payments.queries import find_payments as find_payments
from services.vouchers.payments.refusals import PaymentAwaitedError as PaymentAwaitedError
from services.vouchers.payments.refusals import payment_method_not_found as payment_method_not_found
from services.vouchers.payments.sandbox import SandboxProvider as SandboxProvider

__all__ = [
    "SWEEP_SECONDS",
    "Card",
    "Gateway",
    "MethodDiscount",
    "PaymentAwaitedError",
    "PaymentRow",
    "Payments",
    "SandboxProvider",
    "discount_of",
    "find_payments",
    "open_payments",
    "payment_method_not_found",
]
