"""A payment provider in memory, whose replies get lost where a test says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal
from uuid import UUID

from services.common.errors import OutcomeUnknownError
from services.common.ids import new_id
from services.vouchers.payments import Card
from services.vouchers.payments.providers import Charge, ProviderPayment, ProviderState

BANK = "BANK"
CARD = Card("4242424242424242", 12, 2_999, "123", "Ada Lovelace")
Fault = Literal["lost before", "lost after", "heard"]
"""Whether what is asked gets lost, or the reply, or nothing."""


@dataclass(frozen=True)
class Due:
    """What is to be paid, as an order has it."""

    payment_method_id: UUID | None
    id: UUID = field(default_factory=new_id)
    amount_minor: int = 1_250
    currency_code: str | None = "USD"


@dataclass
class Bank:
    """Keeps payments by their ids. `next` is where an authorisation leads; `faults` are by operation."""

    next: ProviderState = "AUTHORISED"
    decline_code: str = ""
    takes_card: bool = True
    lies: bool = False
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    payments: dict[UUID, ProviderPayment] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    async def authorise(self, charge: Charge, card: Card | None) -> ProviderPayment:
        """Reserves, or does what `next` says, once for each id."""
        fault = self._begin("authorise")
        if charge.payment_id not in self.payments:
            self.payments[charge.payment_id] = ProviderPayment(
                payment_id=charge.payment_id,
                state=self.next,
                amount_minor=charge.amount_minor + self.lies,
                currency_code=charge.currency_code,
                reference="b-1",
                redirect_url="https://bank.example/1" if self.next == "ACTION_REQUIRED" else "",
                decline_code=self.decline_code,
            )
        return self._reply(charge.payment_id, fault)

    async def capture(self, payment_id: UUID) -> ProviderPayment:
        """Takes what is reserved."""
        return self._move(payment_id, "capture", {"AUTHORISED": "CAPTURED"})

    async def void(self, payment_id: UUID) -> ProviderPayment:
        """Gives up what is not taken, or not known."""
        self.payments.setdefault(payment_id, ProviderPayment(payment_id, "VOIDED", 0, "USD"))
        return self._move(payment_id, "void", {"AUTHORISED": "VOIDED", "ACTION_REQUIRED": "VOIDED"})

    async def refund(self, payment_id: UUID) -> ProviderPayment:
        """Gives back what is taken."""
        return self._move(payment_id, "refund", {"CAPTURED": "REFUNDED"})

    async def status(self, payment_id: UUID) -> ProviderPayment | None:
        """Returns a payment."""
        self._begin("status")
        return self.payments.get(payment_id)

    def read_notification(self, headers: Mapping[str, str], body: bytes) -> ProviderPayment:
        """Is never asked."""
        raise NotImplementedError

    def put(self, payment_id: UUID, state: ProviderState) -> ProviderPayment:
        """Changes a payment as if the member had done something."""
        self.payments[payment_id] = replace(self.payments[payment_id], state=state)
        return self.payments[payment_id]

    def _move(
        self, payment_id: UUID, operation: str, changes: Mapping[ProviderState, ProviderState]
    ) -> ProviderPayment:
        fault = self._begin(operation)
        found = self.payments[payment_id]
        self.payments[payment_id] = replace(found, state=changes.get(found.state, found.state))
        return self._reply(payment_id, fault)

    def _begin(self, operation: str) -> Fault | None:
        self.calls.append(operation)
        faults = self.faults.get(operation)
        fault = faults.pop(0) if faults else None
        if fault == "lost before":
            raise OutcomeUnknownError(BANK)
        return fault

    def _reply(self, payment_id: UUID, fault: Fault | None) -> ProviderPayment:
        if fault == "lost after":
            raise OutcomeUnknownError(BANK)
        return self.payments[payment_id]
