"""What a payment provider does: the sandbox, or a gateway.

Each call is keyed by the payment's id, which is the order's: repeated, it changes nothing and returns where
the payment stands. Whether a call that raised OutcomeUnknownError took effect is unknown, and is never
guessed: `status` tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

from services.vouchers.payments.cards import Card
from services.vouchers.payments.refusals import payment_provider_not_found

ProviderState = Literal["ACTION_REQUIRED", "AUTHORISED", "CAPTURED", "DECLINED", "VOIDED", "REFUNDED"]
HOLDING: tuple[ProviderState, ...] = ("ACTION_REQUIRED", "AUTHORISED", "CAPTURED")
"""The provider has the money, or may have it soon."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What is to be paid. `return_url` is where the member goes after confirming; empty: nowhere."""

    payment_id: UUID
    amount_minor: int
    currency_code: str
    return_url: str = ""


@dataclass(frozen=True, slots=True)
class ProviderPayment:
    """Where a payment stands, as its provider says. `decline_code` is set when it is DECLINED."""

    payment_id: UUID
    state: ProviderState
    amount_minor: int
    currency_code: str
    reference: str = ""
    redirect_url: str = ""
    decline_code: str = ""


class PaymentProvider(Protocol):
    """Takes money from members. Every call raises OutcomeUnknownError when there is no clear reply."""

    @property
    def takes_card(self) -> bool:
        """Whether it is given a card. If not, it tells where the member pays."""

    async def authorise(self, charge: Charge, card: Card | None) -> ProviderPayment:
        """Reserves money, or refuses: also what was voided before."""

    async def capture(self, payment_id: UUID) -> ProviderPayment:
        """Takes what is authorised."""

    async def void(self, payment_id: UUID) -> ProviderPayment:
        """Gives up what is not captured, and refuses a payment that it does not know yet for ever."""

    async def refund(self, payment_id: UUID) -> ProviderPayment:
        """Gives back all that was captured."""

    async def status(self, payment_id: UUID) -> ProviderPayment | None:
        """Returns where a payment stands, None when the provider does not know it."""

    def read_notification(self, headers: Mapping[str, str], body: bytes) -> ProviderPayment:
        """Returns what a notification says. Raises PAYMENT_SIGNATURE_NOT_VALID and VALIDATION_FAILED."""


class Providers:
    """The providers that are set up, by name."""

    def __init__(self, providers: Mapping[str, PaymentProvider]) -> None:
        self._providers = providers

    @property
    def names(self) -> Sequence[str]:
        """The names of all."""
        return sorted(self._providers)

    def get(self, name: str) -> PaymentProvider:
        """Returns a provider. Raises PAYMENT_PROVIDER_NOT_FOUND."""
        found = self._providers.get(name)
        if found is None:
            raise payment_provider_not_found(name)
        return found
