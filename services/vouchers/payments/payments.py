"""Payments of orders, one for each, by the order's id: what the saga of orders calls.

What is decided stands in `payments`; the provider is asked, and what it says is taken over. When nobody knows
whether a provider did something, `status` is asked before anything else. A payment that is given up stays so:
whatever the provider did meanwhile is voided or refunded, here or by the sweep.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol, assert_never
from uuid import UUID

from services.common.db import Connection, Database
from services.common.errors import DomainError, OutcomeUnknownError, invalid_field, is_away
from services.vouchers.payments import states
from services.vouchers.payments.cards import Card
from services.vouchers.payments.discounts import MethodDiscount
from services.vouchers.payments.providers import (
    HOLDING,
    Charge,
    PaymentProvider,
    ProviderPayment,
    Providers,
)
from services.vouchers.payments.queries import PaymentRow, find_discount, find_payment, get_method
from services.vouchers.payments.refusals import (
    PaymentAwaitedError,
    amount_mismatch,
    card_required,
    payment_declined,
    payment_method_not_found,
    payment_not_found,
    payment_voided,
)

log = logging.getLogger(__name__)

SWEEP_SECONDS = 10.0
_ASKED_AT_ONCE = 8
_TRIES = 3
OnChange = Callable[[UUID], Awaitable[None]]
"""Told the order's id when a provider's word has changed its payment."""


class Payable(Protocol):
    """An order, as far as its payment goes. One without an amount has no payment."""

    @property
    def id(self) -> UUID:
        """Its id, which is the payment's too."""

    @property
    def amount_minor(self) -> int:
        """What is paid in money, after discounts."""

    @property
    def currency_code(self) -> str | None:
        """In which currency."""

    @property
    def payment_method_id(self) -> UUID | None:
        """By which payment method."""


class Payments:
    """Authorises, captures and undoes the payments of orders."""

    def __init__(self, db: Database, providers: Providers, on_change: OnChange) -> None:
        self._db = db
        self.providers = providers
        self._on_change = on_change

    async def require_method(
        self, connection: Connection, payment_method_id: UUID, voucher_id: UUID
    ) -> MethodDiscount | None:
        """Returns what a payment method takes off a voucher. Raises PAYMENT_METHOD_NOT_FOUND.

        That is raised also for a method that is switched off, archived, or of a provider that is not set up.
        """
        method = await get_method(connection, payment_method_id)
        if not method.active or method.provider not in self.providers.names:
            raise payment_method_not_found(payment_method_id)
        found = await find_discount(connection, voucher_id, payment_method_id)
        return found.discount if found else None

    async def require_card(self, payment_method_id: UUID, card: Card | None) -> None:
        """Raises CARD_REQUIRED when a card is missing, VALIDATION_FAILED when the method takes none."""
        method = await self._db.read(get_method, payment_method_id)
        takes_card = self.providers.get(method.provider).takes_card
        if takes_card and card is None:
            raise card_required(payment_method_id)
        if card is not None and not takes_card:
            raise invalid_field("card", "must not be given: this payment method asks for it itself")

    async def authorise(self, order: Payable, card: Card | None, *, return_url: str = "") -> None:
        """Reserves what an order costs in money; returns when it is reserved.

        Raises PAYMENT_DECLINED, PAYMENT_VOIDED, PAYMENT_AMOUNT_MISMATCH, PAYMENT_METHOD_NOT_FOUND and
        PAYMENT_PROVIDER_NOT_FOUND, all for good; PaymentAwaitedError while the member has something to do;
        OutcomeUnknownError when the provider has to be asked again.
        """
        charge, method_id = _terms(order, return_url)
        payment = await self._db.run_autocommit(states.open_payment, charge, method_id)
        provider = self.providers.get(payment.provider)
        if payment.state in ("CREATED", "ACTION_REQUIRED"):
            found = await provider.status(payment.id) if payment.asked_at else None
            if found is None and payment.state == "CREATED":
                if card is None and provider.takes_card:
                    raise PaymentAwaitedError("")
                if await self._db.run_autocommit(states.note_asked, payment.id):
                    found = await provider.authorise(charge, card)
            if found is not None:
                await self._take_over(payment, found)
            payment = await self._read(payment.id)
        _judge(payment)

    async def capture(self, order: Payable) -> None:
        """Takes what was reserved; returns when it is taken.

        Raises PAYMENT_DECLINED when the provider does not give it any more, PAYMENT_VOIDED, and
        OutcomeUnknownError when the provider has to be asked again.
        """
        payment = await self._read(order.id)
        if payment.state == "AUTHORISED":
            provider = self.providers.get(payment.provider)
            found = await provider.capture(payment.id)
            await self._take_over(payment, found, capturing=True)
            payment = await self._read(order.id)
        _judge(payment)
        if payment.state != "CAPTURED":
            raise OutcomeUnknownError(payment.provider)

    async def undo(self, order: Payable) -> None:
        """Gives an order's payment up: voided or refunded, or never to be made; returns when it is so.

        Raises OutcomeUnknownError when the provider must be told again: a repetition does so, and the sweep.
        """
        if not order.amount_minor or order.payment_method_id is None:
            return
        charge, method_id = _terms(order, "")
        payment = await self._db.run_autocommit(states.give_up, charge, method_id)
        if payment.settled_at is None:
            await self._settle(payment)

    async def find(self, order_id: UUID) -> PaymentRow | None:
        """Returns the payment of an order, None when it has none."""
        return await self._db.read(find_payment, order_id)

    async def notified(self, provider_name: str, found: ProviderPayment) -> None:
        """Takes over what a provider tells of its own accord; a repetition changes nothing.

        Raises PAYMENT_NOT_FOUND, also for the payment of another provider, and PAYMENT_AMOUNT_MISMATCH.
        """
        payment = await self.find(found.payment_id)
        if payment is None or payment.provider != provider_name:
            raise payment_not_found(found.payment_id)
        await self._take_over(payment, found)
        # At a repetition too: perhaps the order was not told the first time.
        await self._on_change(payment.id)

    async def sweep(self) -> None:
        """Asks providers about what is open for long, and tells them again what was given up."""
        slots = asyncio.Semaphore(_ASKED_AT_ONCE)

        async def one(payment: PaymentRow) -> None:
            async with slots:
                try:
                    await self._reconcile(payment)
                except Exception as error:  # whatever it is, no other payment may wait for it
                    known = error if is_away(error) else None
                    log.warning("payment %s stays open: %s", payment.id, known, exc_info=not known)

        await asyncio.gather(*map(one, await self._db.run(states.claim_due)))

    async def _reconcile(self, payment: PaymentRow) -> None:
        if payment.state in ("VOIDED", "REFUNDED"):
            await self._settle(payment)
            return
        found = await self.providers.get(payment.provider).status(payment.id)
        changed = found is not None and await self._take_over(payment, found)
        # What is authorised and never captured was not heard of: the process ended before it could tell.
        if changed or payment.state == "AUTHORISED":
            await self._on_change(payment.id)

    async def _take_over(
        self, payment: PaymentRow, found: ProviderPayment, *, capturing: bool = False
    ) -> bool:
        """Returns whether what a provider says has changed the payment. Raises PAYMENT_AMOUNT_MISMATCH."""
        if found.state in HOLDING and (found.amount_minor, found.currency_code) != (
            payment.amount_minor,
            payment.currency_code,
        ):
            log.error(
                "payment %s is over %d %s, and %s says %d %s",
                payment.id,
                payment.amount_minor,
                payment.currency_code,
                payment.provider,
                found.amount_minor,
                found.currency_code,
            )
            raise amount_mismatch(payment.id)
        changed = await self._db.run_autocommit(states.record, found, capturing=capturing)
        return changed is not None

    async def _settle(self, payment: PaymentRow) -> None:
        """Has the provider give back what it holds for a payment that was given up."""
        try:
            provider = self.providers.get(payment.provider)
        except DomainError:  # the operator took it out of the settings: what it holds is not lost from sight
            raise OutcomeUnknownError(payment.provider) from None
        await _give_back(provider, payment)
        await self._db.run_autocommit(states.note_settled, payment.id)

    async def _read(self, payment_id: UUID) -> PaymentRow:
        payment = await self.find(payment_id)
        if payment is None:
            raise payment_not_found(payment_id)
        return payment


def _terms(order: Payable, return_url: str) -> tuple[Charge, UUID]:
    assert order.amount_minor > 0, "what costs no money has no payment"
    assert order.currency_code, "money has a currency"
    assert order.payment_method_id, "who pays with money chose how"
    return Charge(order.id, order.amount_minor, order.currency_code, return_url), order.payment_method_id


def _judge(payment: PaymentRow) -> None:
    """Returns when the money is reserved or taken, else raises what that means for the order."""
    match payment.state:
        case "AUTHORISED" | "CAPTURED":
            return
        case "ACTION_REQUIRED":
            raise PaymentAwaitedError(payment.redirect_url)
        case "DECLINED":
            raise payment_declined(payment.decline_code or "")
        case "VOIDED" | "REFUNDED":
            raise payment_voided(payment.id)
        case "CREATED":
            raise OutcomeUnknownError(payment.provider)
        case _:
            assert_never(payment.state)


async def _give_back(provider: PaymentProvider, payment: PaymentRow) -> None:
    """Voids or refunds, whichever the provider's state asks for. Raises OutcomeUnknownError if neither holds.

    It may capture at this very moment what was authorised before, so what it replies decides.
    """
    captured = payment.state == "REFUNDED"
    for _ in range(_TRIES):
        found = await (provider.refund if captured else provider.void)(payment.id)
        if found.state not in HOLDING:
            return
        captured = found.state == "CAPTURED"
    raise OutcomeUnknownError(payment.provider)
