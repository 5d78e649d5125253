"""Why a code does not apply to a basket, or a basket is refused."""

from __future__ import annotations

from uuid import UUID

from services.common.errors import DomainError


def minimum_spend_not_reached(code_id: UUID, minimum: int, spent: int, currency: str) -> DomainError:
    """The lines that the code applies to come to less than it wants; amounts are minor units."""
    return DomainError(
        "MINIMUM_SPEND_NOT_REACHED",
        f"the code needs {minimum} minor units of the lines that it applies to, which come to {spent}",
        code_id=code_id,
        minimum_minor=minimum,
        spent_minor=spent,
        currency_code=currency,
    )


def no_line_applies(code_id: UUID) -> DomainError:
    """No line is of a category that the code applies to."""
    return DomainError("NO_LINE_APPLIES", "the code applies to none of these lines", code_id=code_id)


def nothing_left_to_discount(code_id: UUID) -> DomainError:
    """The code would take off less than half of a minor unit."""
    return DomainError(
        "NOTHING_LEFT_TO_DISCOUNT", "the code would take nothing off these lines", code_id=code_id
    )


def code_not_combinable(code_id: UUID) -> DomainError:
    """The code is exclusive, and there are others."""
    return DomainError(
        "CODE_NOT_COMBINABLE", "the code can not be used together with others", code_id=code_id
    )


def code_given_twice() -> DomainError:
    """The same code stands before in the same call."""
    return DomainError("CODE_GIVEN_TWICE", "the code stands in this call more than once")


def not_first_purchase(code_id: UUID) -> DomainError:
    """The member has bought something, or has used such a code for another sale."""
    return DomainError(
        "NOT_FIRST_PURCHASE", "the code is for a member's first purchase alone", code_id=code_id
    )


def order_undone(order_id: UUID) -> DomainError:
    """The order was undone for ever."""
    return DomainError("ORDER_UNDONE", "the order was undone", order_id=order_id)


def order_discount_differs(code_id: UUID, *, quoted: int, discount: int) -> DomainError:
    """The code takes something else off the order than was quoted; amounts are minor units."""
    return DomainError(
        "ORDER_DISCOUNT_DIFFERS",
        f"the code takes {discount} minor units off this order, not {quoted}",
        code_id=code_id,
        quoted_minor=quoted,
        discount_minor=discount,
    )
