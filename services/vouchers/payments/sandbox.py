"""The sandbox: a payment provider for trying out, which takes test cards and no money.

It stands for a system outside: it knows payments by their ids alone, keeps what it decided in a table of its
own, commits on its own, and tells of changes by notifications. Of a card it keeps nothing.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import assert_never
from uuid import UUID

from psycopg.sql import SQL

from services.common.db import Connection, Database, execute, fetch_first
from services.common.errors import OutcomeUnknownError
from services.vouchers.payments.cards import Card
from services.vouchers.payments.providers import Charge, ProviderPayment, ProviderState
from services.vouchers.payments.refusals import (
    payment_already_decided,
    payment_not_found,
    payment_provider_not_found,
)

SANDBOX = "SANDBOX"
SLOW_SECONDS = 2.0
_TOKEN_BYTES = 24
Notify = Callable[[ProviderPayment], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Succeeds:
    """The money is reserved. `times_notified` notifications say so before the reply does."""

    times_notified: int = 0


@dataclass(frozen=True, slots=True)
class SucceedsLate:
    """The money is reserved, and the reply takes its time."""


@dataclass(frozen=True, slots=True)
class SucceedsUnheard:
    """The money is reserved, and the reply gets lost."""


@dataclass(frozen=True, slots=True)
class Declines:
    """The payment is refused, with this code."""

    code: str


@dataclass(frozen=True, slots=True)
class Asks:
    """The holder of the card has to confirm."""


Behaviour = Succeeds | SucceedsLate | SucceedsUnheard | Declines | Asks

CARDS: Mapping[str, Behaviour] = {
    "4242424242424242": Succeeds(),
    "4000000000002222": Succeeds(times_notified=2),
    "4000000000003337": SucceedsLate(),
    "4000000000000119": SucceedsUnheard(),
    "4000002500003155": Asks(),
    "4000000000000002": Declines("CARD_DECLINED"),
    "4000000000009995": Declines("INSUFFICIENT_FUNDS"),
    "4000000000000069": Declines("EXPIRED_CARD"),
    "4000000000000127": Declines("INCORRECT_CVC"),
}
"""The test cards, and what happens to them; any other is declined."""


@dataclass(frozen=True, slots=True)
class SandboxRow:
    """A payment as the sandbox has it."""

    id: UUID
    amount_minor: int
    currency_code: str
    state: ProviderState
    decline_code: str
    token: str

    @property
    def told(self) -> ProviderPayment:
        """What the sandbox says of it."""
        asks = self.state == "ACTION_REQUIRED"
        return ProviderPayment(
            payment_id=self.id,
            state=self.state,
            amount_minor=self.amount_minor,
            currency_code=self.currency_code,
            reference=f"sandbox-{self.id}",
            redirect_url=f"/v1/sandbox-payments/{self.id}#{self.token}" if asks else "",
            decline_code=self.decline_code,
        )


_COLUMNS = SQL("id, amount_minor, currency_code, state, decline_code, token")
_ONE = SQL("SELECT {columns} FROM sandbox_payments WHERE id = %(id)s").format(columns=_COLUMNS)
_MADE = SQL(
    """
    INSERT INTO sandbox_payments (id, amount_minor, currency_code, state, decline_code, token)
    VALUES (%(id)s, %(amount)s, %(currency)s, %(state)s, %(code)s, %(token)s)
    ON CONFLICT (id) DO NOTHING
    RETURNING {columns}
    """
).format(columns=_COLUMNS)
_CAPTURED = SQL(
    """
    UPDATE sandbox_payments SET state = 'CAPTURED' WHERE id = %(id)s AND state = 'AUTHORISED'
    """
)
_VOIDED = SQL(
    """
    INSERT INTO sandbox_payments AS s (id, amount_minor, currency_code, state)
    VALUES (%(id)s, 0, '', 'VOIDED')
    ON CONFLICT (id) DO UPDATE SET state = 'VOIDED' WHERE s.state IN ('ACTION_REQUIRED', 'AUTHORISED')
    """
)
_REFUNDED = SQL(
    """
    UPDATE sandbox_payments SET state = 'REFUNDED' WHERE id = %(id)s AND state = 'CAPTURED'
    """
)


_CONFIRMED = SQL(
    """
    UPDATE sandbox_payments SET
      state = CASE WHEN %(approve)s THEN 'AUTHORISED' ELSE 'DECLINED' END,
      decline_code = CASE WHEN %(approve)s THEN '' ELSE 'AUTHENTICATION_FAILED' END
    WHERE id = %(id)s AND token = %(token)s AND state = 'ACTION_REQUIRED'
    RETURNING {columns}
    """
).format(columns=_COLUMNS)


async def _find(connection: Connection, payment_id: UUID) -> SandboxRow | None:
    return await fetch_first(connection, SandboxRow, _ONE, id=payment_id)


async def _make(connection: Connection, charge: Charge, behaviour: Behaviour) -> tuple[SandboxRow, bool]:
    """Returns the payment, and whether it is new."""
    state = _state_after(behaviour)
    made = await fetch_first(
        connection,
        SandboxRow,
        _MADE,
        id=charge.payment_id,
        amount=charge.amount_minor,
        currency=charge.currency_code,
        state=state,
        code=behaviour.code if isinstance(behaviour, Declines) else "",
        token=secrets.token_urlsafe(_TOKEN_BYTES) if state == "ACTION_REQUIRED" else "",
    )
    if made:
        return made, True
    row = await _find(connection, charge.payment_id)
    assert row is not None, "it was there a moment ago, and none is deleted"
    return row, False


async def _confirm(connection: Connection, payment_id: UUID, token: str, *, approve: bool) -> SandboxRow:
    confirmed = await fetch_first(
        connection, SandboxRow, _CONFIRMED, id=payment_id, token=token, approve=approve
    )
    if confirmed:
        return confirmed
    row = await _find(connection, payment_id)
    if row is None or not secrets.compare_digest(row.token, token):
        raise payment_not_found(payment_id)
    if row.state not in (("AUTHORISED", "CAPTURED") if approve else ("DECLINED",)):
        raise payment_already_decided(payment_id)
    return row


def _state_after(behaviour: Behaviour) -> ProviderState:
    match behaviour:
        case Succeeds() | SucceedsLate() | SucceedsUnheard():
            return "AUTHORISED"
        case Asks():
            return "ACTION_REQUIRED"
        case Declines():
            return "DECLINED"
        case _:
            assert_never(behaviour)


class SandboxProvider:
    """Takes test cards."""

    takes_card = True

    def __init__(self, db: Database, *, slow_seconds: float = SLOW_SECONDS) -> None:
        self._db = db
        self._slow_seconds = slow_seconds
        self._notify: Notify | None = None

    def tell(self, notify: Notify) -> None:
        """Sets who is told of changes."""
        self._notify = notify

    async def authorise(self, charge: Charge, card: Card | None) -> ProviderPayment:
        """Does what the card stands for, once."""
        behaviour = CARDS.get(card.number, Declines("CARD_DECLINED")) if card else Declines("CARD_REQUIRED")
        row, made = await self._db.run_autocommit(_make, charge, behaviour)
        if made and isinstance(behaviour, SucceedsUnheard):
            raise OutcomeUnknownError(SANDBOX)
        if made and isinstance(behaviour, SucceedsLate):
            await asyncio.sleep(self._slow_seconds)
        if made and isinstance(behaviour, Succeeds):
            for _ in range(behaviour.times_notified):
                await self._told(row)
        return row.told

    async def capture(self, payment_id: UUID) -> ProviderPayment:
        """Takes what is authorised."""
        return (await self._changed(payment_id, _CAPTURED)).told

    async def void(self, payment_id: UUID) -> ProviderPayment:
        """Gives up what is not captured, or not known yet."""
        return (await self._changed(payment_id, _VOIDED)).told

    async def refund(self, payment_id: UUID) -> ProviderPayment:
        """Gives back what was captured."""
        return (await self._changed(payment_id, _REFUNDED)).told

    async def status(self, payment_id: UUID) -> ProviderPayment | None:
        """Returns where a payment stands."""
        row = await self._db.read(_find, payment_id)
        return row.told if row else None

    def read_notification(self, headers: Mapping[str, str], body: bytes) -> ProviderPayment:  # noqa: ARG002
        """Refuses: what the sandbox tells comes from within."""
        raise payment_provider_not_found(SANDBOX)

    async def get(self, payment_id: UUID) -> SandboxRow:
        """Returns a payment. Raises PAYMENT_NOT_FOUND."""
        row = await self._db.read(_find, payment_id)
        if row is None:
            raise payment_not_found(payment_id)
        return row

    async def confirm(self, payment_id: UUID, token: str, *, approve: bool) -> SandboxRow:
        """Decides a payment that waits for the holder of its card, tells of it, and returns it.

        Raises PAYMENT_NOT_FOUND, also for a wrong token, and PAYMENT_ALREADY_DECIDED for another decision.
        """
        row = await self._db.run_autocommit(_confirm, payment_id, token, approve=approve)
        await self._told(row)
        return row

    async def _told(self, row: SandboxRow) -> None:
        assert self._notify is not None, "it is set where the sandbox is opened"
        await self._notify(row.told)

    async def _changed(self, payment_id: UUID, statement: SQL) -> SandboxRow:
        await self._db.run_autocommit(execute, statement, id=payment_id)
        return await self.get(payment_id)
