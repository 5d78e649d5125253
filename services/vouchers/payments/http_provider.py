"""A payment gateway that is called over HTTP: `docs/payments.md` says what it is asked and replies.

Loaded only where one is set up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from uuid import UUID

import httpx
import orjson

from services.common.errors import OutcomeUnknownError, invalid_field
from services.common.webhooks.signing import fault, signed
from services.vouchers.payments.cards import Card
from services.vouchers.payments.providers import Charge, ProviderPayment
from services.vouchers.payments.refusals import signature_not_valid
from services.vouchers.payments.wire import MOST_BYTES, read_payment

log = logging.getLogger(__name__)

_CONNECT_SECONDS, _SECONDS = 2.0, 6.0
_CONNECTIONS = 20
_OK, _NOT_FOUND = 200, 404
_SIGNED_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")


class HttpProvider:
    """Calls one gateway: each time a signed POST, with a bounded time and reply; no redirect is followed."""

    def __init__(
        self, name: str, url: str, key: bytes, *, takes_card: bool, seconds: float = _SECONDS
    ) -> None:
        self._name = name
        self._url = url
        self._key = key
        self.takes_card = takes_card
        self._seconds = seconds
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(seconds, connect=_CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=_CONNECTIONS),
            follow_redirects=False,
            trust_env=False,  # no proxy of the environment's
        )

    async def close(self) -> None:
        """Closes all connections."""
        await self._client.aclose()

    async def authorise(self, charge: Charge, card: Card | None) -> ProviderPayment:
        """Has money reserved."""
        details: dict[str, object] = {
            "amount_minor": charge.amount_minor,
            "currency_code": charge.currency_code,
            "return_url": charge.return_url,
        }
        if card is not None and self.takes_card:
            details["card"] = {
                "number": card.number,
                "expiry_month": card.expiry_month,
                "expiry_year": card.expiry_year,
                "cvc": card.cvc,
                "holder": card.holder,
            }
        return await self._expect(charge.payment_id, "authorise", details)

    async def capture(self, payment_id: UUID) -> ProviderPayment:
        """Has the money taken."""
        return await self._expect(payment_id, "capture", {})

    async def void(self, payment_id: UUID) -> ProviderPayment:
        """Has the payment given up."""
        return await self._expect(payment_id, "void", {})

    async def refund(self, payment_id: UUID) -> ProviderPayment:
        """Has the money given back."""
        return await self._expect(payment_id, "refund", {})

    async def status(self, payment_id: UUID) -> ProviderPayment | None:
        """Returns where the payment stands."""
        return await self._ask(payment_id, "status", {})

    def read_notification(self, headers: Mapping[str, str], body: bytes) -> ProviderPayment:
        """Returns what a notification says."""
        message_id, moment, signatures = (headers.get(name, "") for name in _SIGNED_HEADERS)
        if broken := fault(message_id, moment, signatures, body, [self._key]):
            raise signature_not_valid(broken)
        try:
            return read_payment(body)
        except ValueError as error:
            raise invalid_field("notification", str(error)) from None

    async def _expect(
        self, payment_id: UUID, operation: str, details: Mapping[str, object]
    ) -> ProviderPayment:
        found = await self._ask(payment_id, operation, details)
        if found is None:
            log.warning("%s knows no payment %s, and was asked to %s it", self._name, payment_id, operation)
            raise OutcomeUnknownError(self._name)
        return found

    async def _ask(
        self, payment_id: UUID, operation: str, details: Mapping[str, object]
    ) -> ProviderPayment | None:
        """Returns what the gateway replies, None for 404. Raises OutcomeUnknownError for all that is unclear.

        What is sent and replied is never logged: there may be a card in it.
        """
        body = orjson.dumps({"operation": operation, "payment_id": str(payment_id), **details})
        key = f"{payment_id}-{operation}"
        headers = {
            "content-type": "application/json",
            "accept-encoding": "identity",
            "user-agent": "scrip",
            "idempotency-key": key,
            **signed(key, body, [self._key]),
        }
        try:
            async with asyncio.timeout(self._seconds):
                status, reply = await self._post(body, headers)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise self._unknown(payment_id, operation, type(error).__name__) from None
        if status == _NOT_FOUND:
            return None
        if status != _OK:
            raise self._unknown(payment_id, operation, f"status {status}")
        try:
            found = read_payment(reply)
        except ValueError as error:
            raise self._unknown(payment_id, operation, f"a reply in which {error}") from None
        if found.payment_id != payment_id:
            raise self._unknown(payment_id, operation, "a reply about another payment")
        return found

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Returns status and body of the reply, of which no more is read than shows that it is too long."""
        async with self._client.stream("POST", self._url, content=body, headers=headers) as response:
            reply = b""
            async for part in response.aiter_raw():
                reply += part
                if len(reply) > MOST_BYTES:
                    break
            return response.status_code, reply[:MOST_BYTES]

    def _unknown(self, payment_id: UUID, operation: str, what: str) -> OutcomeUnknownError:
        log.warning("%s: %s of payment %s got %s", self._name, operation, payment_id, what)
        return OutcomeUnknownError(self._name)
