"""Why something about a payment is refused."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from services.common.errors import DomainError, FieldViolation

CardField = Literal["number", "expiry", "cvc"]
SignatureRule = Literal["headers", "signature", "timestamp"]


class PaymentAwaitedError(Exception):
    """The payment waits for the member: to confirm it at `redirect_url`, or, without one, to send a card."""

    def __init__(self, redirect_url: str) -> None:
        super().__init__("the payment waits for the member")
        self.redirect_url = redirect_url


def payment_method_not_found(payment_method_id: UUID) -> DomainError:
    """No such payment method, or none that can be paid by now."""
    return DomainError(
        "PAYMENT_METHOD_NOT_FOUND", "no such payment method", payment_method_id=payment_method_id
    )


def payment_method_archived(payment_method_id: UUID) -> DomainError:
    """The payment method is archived."""
    return DomainError(
        "PAYMENT_METHOD_ARCHIVED", "the payment method is archived", payment_method_id=payment_method_id
    )


def payment_provider_not_found(name: str) -> DomainError:
    """No provider of this name is set up."""
    return DomainError(
        "PAYMENT_PROVIDER_NOT_FOUND", "no payment provider of this name is set up", provider=name
    )


def payment_declined(decline_code: str) -> DomainError:
    """The provider declined the payment."""
    return DomainError(
        "PAYMENT_DECLINED", f"the payment was declined: {decline_code}", decline_code=decline_code
    )


def card_not_valid(field: CardField, description: str) -> DomainError:
    """A part of the card is wrong; the description never holds it."""
    return DomainError(
        "CARD_NOT_VALID",
        f"the card's {field} {description}",
        fields=(FieldViolation(f"card.{field}", description),),
        field=field,
    )


def card_required(payment_method_id: UUID) -> DomainError:
    """The payment method needs a card."""
    return DomainError(
        "CARD_REQUIRED", "this payment method needs a card", payment_method_id=payment_method_id
    )


def payment_not_found(payment_id: UUID) -> DomainError:
    """No such payment, or the token is not its own."""
    return DomainError("PAYMENT_NOT_FOUND", "no such payment", payment_id=payment_id)


def signature_not_valid(rule: SignatureRule) -> DomainError:
    """What was told of a payment is not signed as it must be."""
    return DomainError(
        "PAYMENT_SIGNATURE_NOT_VALID", f"the notification breaks a rule of signatures: {rule}", rule=rule
    )


def amount_mismatch(payment_id: UUID) -> DomainError:
    """The provider speaks of another amount than the payment's."""
    return DomainError(
        "PAYMENT_AMOUNT_MISMATCH", "the amount is not that of the payment", payment_id=payment_id
    )


def payment_already_decided(payment_id: UUID) -> DomainError:
    """The payment was decided in another way before."""
    return DomainError("PAYMENT_ALREADY_DECIDED", "the payment is decided already", payment_id=payment_id)


def payment_voided(payment_id: UUID) -> DomainError:
    """The payment was given up."""
    return DomainError("PAYMENT_VOIDED", "the payment was given up", payment_id=payment_id)
