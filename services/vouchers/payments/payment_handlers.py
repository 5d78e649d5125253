"""PaymentService: how members can pay, and what gateways tell; and the sandbox's own service."""

from __future__ import annotations

from uuid import UUID

from scrip.vouchers.v1 import payment_pb2

from services.common.db import Database
from services.common.encoding import Context, header
from services.common.errors import not_served
from services.common.list_pages import read_page
from services.vouchers.payments import encoding, queries
from services.vouchers.payments.payments import Payments
from services.vouchers.payments.sandbox import SandboxProvider

_SIGNED = ("webhook-id", "webhook-timestamp", "webhook-signature")


class PaymentHandlers:
    """Implements PaymentService."""

    def __init__(self, db: Database, payments: Payments) -> None:
        self._db = db
        self._payments = payments

    async def ListPaymentOptions(
        self, request: payment_pb2.ListPaymentOptionsRequest, context: Context
    ) -> payment_pb2.ListPaymentOptionsResponse:
        """Returns a page of the ways to pay that can be chosen now."""
        providers = self._payments.providers
        page = await read_page(
            self._db, queries.METHOD_LIST, request, active=True, providers=list(providers.names)
        )
        return payment_pb2.ListPaymentOptionsResponse(
            payment_options=[
                encoding.encode_option(row, card_required=providers.get(row.provider).takes_card)
                for row in page.rows
            ],
            next_page_token=page.next_page_token,
            total=page.total,
        )

    async def NotifyPayment(
        self, request: payment_pb2.NotifyPaymentRequest, context: Context
    ) -> payment_pb2.NotifyPaymentResponse:
        """Takes over what a gateway tells."""
        provider = self._payments.providers.get(request.provider)
        headers = {name: header(context, name) or "" for name in _SIGNED}
        told = provider.read_notification(headers, request.notification.data)
        await self._payments.notified(request.provider, told)
        return payment_pb2.NotifyPaymentResponse()


class SandboxPaymentHandlers:
    """Implements SandboxPaymentService; `sandbox` is None while it is off."""

    def __init__(self, sandbox: SandboxProvider | None) -> None:
        self._sandbox = sandbox

    async def GetSandboxPayment(
        self, request: payment_pb2.GetSandboxPaymentRequest, context: Context
    ) -> payment_pb2.GetSandboxPaymentResponse:
        """Returns a payment by a test card."""
        row = await self._served("GetSandboxPayment").get(UUID(request.payment_id))
        return payment_pb2.GetSandboxPaymentResponse(payment=encoding.encode_sandbox_payment(row))

    async def ConfirmSandboxPayment(
        self, request: payment_pb2.ConfirmSandboxPaymentRequest, context: Context
    ) -> payment_pb2.ConfirmSandboxPaymentResponse:
        """Decides a payment, as the holder of the card does."""
        sandbox = self._served("ConfirmSandboxPayment")
        row = await sandbox.confirm(UUID(request.payment_id), request.token, approve=request.approve)
        return payment_pb2.ConfirmSandboxPaymentResponse(payment=encoding.encode_sandbox_payment(row))

    def _served(self, rpc: str) -> SandboxProvider:
        if self._sandbox is None:
            raise not_served(f"/scrip.vouchers.v1.SandboxPaymentService/{rpc}")
        return self._sandbox
