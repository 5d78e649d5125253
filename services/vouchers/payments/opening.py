"""Opens the payment providers that the settings name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.common.db import Database
from services.common.webhooks.signing import key_of
from services.vouchers.payments.payments import OnChange, Payments
from services.vouchers.payments.providers import PaymentProvider, Providers
from services.vouchers.payments.sandbox import SANDBOX, SandboxProvider


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that is called over HTTP."""

    name: str
    url: str
    secret: str
    takes_card: bool


@asynccontextmanager
async def open_payments(
    db: Database, *, sandbox: SandboxProvider | None, gateway: Gateway | None, on_change: OnChange
) -> AsyncIterator[Payments]:
    """Opens payments, and closes them in the end.

    `on_change` is told the order's id when a provider's word has changed its payment.
    """
    providers: dict[str, PaymentProvider] = {}
    payments = Payments(db, Providers(providers), on_change)
    if sandbox is not None:
        sandbox.tell(lambda told: payments.notified(SANDBOX, told))
        providers[SANDBOX] = sandbox
    if gateway is None:
        yield payments
        return
    # Its HTTP client is loaded where a gateway is set up, and nowhere else.
    from services.vouchers.payments.http_provider import HttpProvider  # noqa: PLC0415

    provider = HttpProvider(gateway.name, gateway.url, key_of(gateway.secret), takes_card=gateway.takes_card)
    providers[gateway.name] = provider
    try:
        yield payments
    finally:
        await provider.close()
