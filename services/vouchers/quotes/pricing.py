"""What is charged for an order: what was quoted, or else what it costs now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from scrip.vouchers.v1 import order_pb2

from services.common.db import Connection, Database
from services.common.encoding import refuse_nul
from services.common.errors import DomainError, OutcomeUnknownError, invalid_field, is_away
from services.vouchers.catalogue import get_voucher
from services.vouchers.payments import Payments
from services.vouchers.quotes import refusals
from services.vouchers.quotes.commands import make_quote, use_quote
from services.vouchers.quotes.prices import Price, PricedOrder, price_order
from services.vouchers.quotes.promo_codes import OrderPromoCodes
from services.vouchers.quotes.queries import QuoteRow, get_quote


class Wanted(NamedTuple):
    """So many pieces of a voucher, for oneself or as a gift."""

    member_id: UUID
    voucher_id: UUID
    quantity: int
    as_gift: bool


@dataclass(frozen=True, slots=True)
class PayingWith:
    """What a member would pay with, and where it calls from; without a method it pays with points."""

    payment_method_id: UUID | None
    promo_code: str
    address: str


class NewQuote(NamedTuple):
    """A quote, and why it is without the promo code that was given."""

    quote: QuoteRow
    promo_code_refused: DomainError | None


RequireAvailable = Callable[[Connection, Wanted], Awaitable[None]]
"""Raises what would stand in the way of an order now."""
_Promo = tuple[UUID, int] | DomainError | None
"""A code's id and what it takes off; or why it does not apply; None for no code."""


class OrderPricing:
    """Prices orders."""

    def __init__(
        self,
        db: Database,
        payments: Payments,
        promo_codes: OrderPromoCodes,
        require_available: RequireAvailable,
        *,
        quote_seconds: int,
    ) -> None:
        self._db = db
        self._payments = payments
        self._promo_codes = promo_codes
        self._require_available = require_available
        self._quote_seconds = quote_seconds

    async def quote(self, wanted: Wanted, paying: PayingWith) -> NewQuote:
        """Returns a quote of what is wanted; a promo code that does not apply is left out.

        Raises what would refuse the order now, PAYMENT_METHOD_NOT_FOUND, PAYMENT_METHOD_REQUIRED, and
        TOO_MANY_REQUESTS for a member who guesses promo codes.
        """
        priced, promo = await self._price(wanted, paying)
        quote = await self._db.run(
            make_quote,
            priced,
            member_id=wanted.member_id,
            as_gift=wanted.as_gift,
            seconds=self._quote_seconds,
        )
        return NewQuote(quote, promo if isinstance(promo, DomainError) else None)

    async def priced(
        self, request: order_pb2.PlaceOrderRequest, member_id: UUID, *, address: str
    ) -> PricedOrder:
        """Returns what is charged for an order, by its quote or as of now.

        The quote stays free until `take_quote`. Raises what `quote` raises, QUOTE_NOT_FOUND, why a promo code
        does not apply, and VALIDATION_FAILED for what contradicts the quote.
        """
        wanted = Wanted(
            member_id, UUID(request.voucher_id), request.quantity or 1, as_gift=request.HasField("gift")
        )
        if request.quote_id:
            return await self._quoted(request, wanted)
        method_id = UUID(request.payment_method_id) if request.payment_method_id else None
        priced, promo = await self._price(wanted, PayingWith(method_id, request.promo_code, address))
        if isinstance(promo, DomainError):
            raise promo
        return priced

    async def take_quote(self, quote_id: UUID, member_id: UUID, key: str) -> None:
        """Takes a quote for the order that will have this key. Raises what `use_quote` raises."""
        await self._db.run_autocommit(use_quote, quote_id, member_id=member_id, key=key)

    async def _quoted(self, request: order_pb2.PlaceOrderRequest, wanted: Wanted) -> PricedOrder:
        quote = await self._db.read(get_quote, UUID(request.quote_id), wanted.member_id)
        _require_same(request, quote, wanted)
        return PricedOrder(
            quote.voucher_id,
            quote.quantity,
            quote.price_points,
            amount_minor=quote.amount_minor,
            currency_code=quote.currency_code,
            method_discount_minor=quote.method_discount_minor,
            promo_discount_minor=quote.promo_discount_minor,
            payment_method_id=quote.payment_method_id,
            promo_code_id=quote.promo_code_id,
        )

    async def _price(self, wanted: Wanted, paying: PayingWith) -> tuple[PricedOrder, _Promo]:
        refuse_nul(promo_code=paying.promo_code)
        await self._db.read(self._require_available, wanted)
        voucher = await self._db.read(get_voucher, wanted.voucher_id)
        method_id = paying.payment_method_id
        discount = (
            await self._db.read(self._payments.require_method, method_id, voucher.id) if method_id else None
        )
        price = price_order(voucher, wanted.quantity, with_money=method_id is not None, discount=discount)
        promo = await self._promo(wanted.member_id, paying, price, voucher.currency_code)
        promo_code_id = None
        if isinstance(promo, tuple):
            promo_code_id, minor = promo
            price = price.less(minor)
        return (
            PricedOrder(
                voucher.id,
                wanted.quantity,
                price.points,
                amount_minor=price.amount_minor,
                currency_code=voucher.currency_code,
                method_discount_minor=price.by_method_minor,
                promo_discount_minor=price.by_promo_code_minor,
                payment_method_id=method_id,
                promo_code_id=promo_code_id,
            ),
            promo,
        )

    async def _promo(self, member_id: UUID, paying: PayingWith, price: Price, currency: str) -> _Promo:
        if not paying.promo_code:
            return None
        if not price.amount_minor:
            return refusals.nothing_for_promo_code()
        try:
            return await self._promo_codes.quote(
                member_id,
                paying.promo_code,
                amount_minor=price.amount_minor,
                currency_code=currency,
                address=paying.address,
            )
        except DomainError as error:
            # These say nothing about the code.
            if (
                isinstance(error, OutcomeUnknownError)
                or is_away(error)
                or error.reason == "TOO_MANY_REQUESTS"
            ):
                raise
            return error


def _says_nothing_of_the_code(error: DomainError) -> bool:
    return isinstance(error, OutcomeUnknownError) or is_away(error) or error.reason == "TOO_MANY_REQUESTS"


def _require_same(request: order_pb2.PlaceOrderRequest, quote: QuoteRow, wanted: Wanted) -> None:
    """Raises VALIDATION_FAILED for a request that contradicts its quote; that never changes."""
    method_id = UUID(request.payment_method_id) if request.payment_method_id else quote.payment_method_id
    differ = {
        "voucher_id": quote.voucher_id != wanted.voucher_id,
        "quantity": request.quantity not in (0, quote.quantity),
        "payment_method_id": method_id != quote.payment_method_id,
        "promo_code": request.promo_code != "",
        "gift": quote.as_gift != wanted.as_gift,
    }
    for field, wrong in differ.items():
        if wrong:
            raise invalid_field(field, "must be that of the quote, or be left out")
