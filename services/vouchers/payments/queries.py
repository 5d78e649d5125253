"""Reads of payment methods, their discounts, and payments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from psycopg.sql import SQL

from services.common.db import Connection, fetch_all, fetch_first
from services.common.lists import Listing, SortKey, parse_bigint, parse_moment, parse_text
from services.vouchers.payments.discounts import AmountOff, MethodDiscount, PercentOff
from services.vouchers.payments.refusals import payment_method_not_found

PaymentState = Literal[
    "CREATED", "ACTION_REQUIRED", "AUTHORISED", "CAPTURED", "DECLINED", "VOIDED", "REFUNDED"
]


@dataclass(frozen=True, slots=True)
class PaymentMethodRow:
    """A way to pay."""

    id: UUID
    name: str
    provider: str
    active: bool
    position: int
    description: str
    version: int
    created_at: datetime
    archived_at: datetime | None

    @property
    def etag(self) -> str:
        """Changes with every change."""
        return str(self.version)


@dataclass(frozen=True, slots=True)
class PaymentDiscountRow:
    """What a payment method takes off a voucher."""

    voucher_id: UUID
    payment_method_id: UUID
    percent_off: int | None
    amount_off_minor: int | None
    currency_code: str
    version: int

    @property
    def etag(self) -> str:
        """Changes with every change."""
        return str(self.version)

    @property
    def discount(self) -> MethodDiscount:
        """The rule."""
        if self.percent_off is not None:
            return PercentOff(self.percent_off)
        assert self.amount_off_minor is not None, "it is one of the two"
        return AmountOff(self.amount_off_minor)


@dataclass(frozen=True, slots=True)
class PaymentRow:
    """The payment of an order; the id is the order's. Without `redirect_url` there is nothing to confirm."""

    id: UUID
    payment_method_id: UUID
    provider: str
    amount_minor: int
    currency_code: str
    state: PaymentState
    provider_reference: str
    redirect_url: str
    decline_code: str | None
    created_at: datetime
    asked_at: datetime | None
    authorised_at: datetime | None
    captured_at: datetime | None
    ended_at: datetime | None
    settled_at: datetime | None
    check_at: datetime | None
    version: int


METHOD = SQL(
    """
    m.id, m.name, m.provider, m.active, m.position, m.description, m.version, m.created_at, m.archived_at
    """
)
"""The columns of a payment method `m` that PaymentMethodRow is made of."""

METHOD_LIST = Listing(
    row=PaymentMethodRow,
    columns=METHOD,
    source="payment_methods m",
    filters={
        "active": "(m.active AND m.archived_at IS NULL) = %(active)s",
        "archived": "(m.archived_at IS NOT NULL) = %(archived)s",
        "providers": "m.provider = ANY(%(providers)s)",
    },
    keys={
        "position": SortKey("m.position", "position", parse_bigint),
        "name": SortKey("m.name", "name", parse_text),
        "created_at": SortKey("m.created_at", "created_at", parse_moment),
    },
    key=SortKey("m.id", "id", UUID),
    default_order="position",
)
"""All payment methods. Staff make them one by one, so no filter needs an index."""

_METHOD_BY_ID = SQL("SELECT {method} FROM payment_methods m WHERE m.id = %(id)s").format(method=METHOD)


async def get_method(connection: Connection, payment_method_id: UUID) -> PaymentMethodRow:
    """Returns a payment method. Raises PAYMENT_METHOD_NOT_FOUND."""
    found = await fetch_first(connection, PaymentMethodRow, _METHOD_BY_ID, id=payment_method_id)
    if found is None:
        raise payment_method_not_found(payment_method_id)
    return found


_LOCKED_METHOD = SQL("SELECT {method} FROM payment_methods m WHERE m.id = %(id)s FOR NO KEY UPDATE").format(
    method=METHOD
)


async def lock_method(connection: Connection, payment_method_id: UUID) -> PaymentMethodRow:
    """Returns a payment method that nobody else changes until the commit. Raises PAYMENT_METHOD_NOT_FOUND."""
    found = await fetch_first(connection, PaymentMethodRow, _LOCKED_METHOD, id=payment_method_id)
    if found is None:
        raise payment_method_not_found(payment_method_id)
    return found


_DISCOUNT = SQL(
    """
    d.voucher_id, d.payment_method_id, d.percent_off, d.amount_off_minor, d.currency_code, d.version
    """
)

DISCOUNT_LIST = Listing(
    row=PaymentDiscountRow,
    columns=_DISCOUNT,
    source="payment_discounts d",
    filters={"voucher_id": "d.voucher_id = %(voucher_id)s"},
    keys={"id": SortKey("d.payment_method_id", "payment_method_id", UUID)},
    key=SortKey("d.payment_method_id", "payment_method_id", UUID),
    default_order="id",
)
"""The discounts of one voucher, which must be named."""

_DISCOUNT_BY_ID = SQL(
    """
    SELECT {discount} FROM payment_discounts d
    WHERE d.voucher_id = %(voucher_id)s AND d.payment_method_id = %(payment_method_id)s
    """
).format(discount=_DISCOUNT)


async def find_discount(
    connection: Connection, voucher_id: UUID, payment_method_id: UUID
) -> PaymentDiscountRow | None:
    """Returns what a payment method takes off a voucher, or None."""
    return await fetch_first(
        connection,
        PaymentDiscountRow,
        _DISCOUNT_BY_ID,
        voucher_id=voucher_id,
        payment_method_id=payment_method_id,
    )


PAYMENT = SQL(
    """
    p.id, p.payment_method_id, p.provider, p.amount_minor, p.currency_code, p.state, p.provider_reference,
    p.redirect_url, p.decline_code, p.created_at, p.asked_at, p.authorised_at, p.captured_at, p.ended_at,
    p.settled_at, p.check_at, p.version
    """
)
"""The columns of a payment `p` that PaymentRow is made of."""

_PAYMENTS = SQL("SELECT {payment} FROM payments p WHERE p.id = ANY(%(ids)s)").format(payment=PAYMENT)


async def find_payments(connection: Connection, order_ids: Sequence[UUID]) -> Mapping[UUID, PaymentRow]:
    """Returns the payments of orders, by the order's id; orders without one are left out."""
    rows = await fetch_all(connection, PaymentRow, _PAYMENTS, ids=list(order_ids))
    return {row.id: row for row in rows}


async def find_payment(connection: Connection, order_id: UUID) -> PaymentRow | None:
    """Returns the payment of an order, or None."""
    return (await find_payments(connection, [order_id])).get(order_id)
