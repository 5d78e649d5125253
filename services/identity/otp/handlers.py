"""Asking for one-time passwords, and looking after those that are not sent."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from scrip.identity.v1 import auth_pb2, member_pb2, otp_pb2, sandbox_pb2

from services.common.db import Database
from services.common.encoding import Context, client_address, header, timestamp
from services.common.ids import utc_now
from services.common.list_pages import read_page
from services.common.throttle import Limit, Throttle
from services.identity.accounts import Recipient, to_e164
from services.identity.keys import Vault
from services.identity.messages import MessageSender, pick_language
from services.identity.otp.commands import send_otp
from services.identity.otp.queries import UNSENT, UnsentRow, sandbox_code
from services.identity.settings import Settings

_FILTERS = {
    otp_pb2.OTP_DELIVERY_STATE_WAITING: "waiting",
    otp_pb2.OTP_DELIVERY_STATE_FAILED: "failed",
}
"""The filter of each state."""


class OtpHandlers:
    """Sends one-time passwords: a part of AuthService."""

    def __init__(
        self, db: Database, settings: Settings, vault: Vault, sender: MessageSender, throttle: Throttle
    ) -> None:
        self._db = db
        self._settings = settings
        self._vault = vault
        self._sender = sender
        self._throttle = throttle
        self._per_phone = Limit("otp_sends_per_phone", settings.otp_sends_per_phone, 600)
        self._per_email = Limit("otp_sends_per_email", settings.otp_sends_per_phone, 600)
        self._per_address = Limit("otp_sends_per_address", settings.otp_sends_per_address, 600)
        self._in_all = Limit("otp_sends_in_all", settings.otp_sends_in_all, 600)

    async def SendOtp(self, request: auth_pb2.SendOtpRequest, context: Context) -> auth_pb2.SendOtpResponse:
        """Limits, then sends."""
        if request.email:
            recipient = Recipient(email=request.email.lower())
            each = (self._per_email, request.email.lower())
        else:
            phone = to_e164(request.phone, self._settings.default_region, self._settings.regions)
            recipient, each = Recipient(phone), (self._per_phone, phone)
        waits = [
            await self._throttle.hit(self._per_address, client_address(context)),
            await self._throttle.hit(*each),
            await self._throttle.hit(self._in_all, ""),
        ]
        sent = await self._db.run(
            send_otp,
            self._vault,
            self._sender,
            recipient=recipient,
            purpose=auth_pb2.OtpPurpose.Name(request.purpose),
            language=pick_language(header(context, "accept-language")),
        )
        return auth_pb2.SendOtpResponse(
            otp_id=str(sent.id),
            expires_at=timestamp(sent.expires_at),
            next_send_at=timestamp(utc_now() + timedelta(seconds=max(waits))),
        )


class OtpDeliveryHandlers:
    """Shows what is not sent: a part of MemberAdminService."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def ListOtpDeliveries(
        self, request: member_pb2.ListOtpDeliveriesRequest, context: Context
    ) -> member_pb2.ListOtpDeliveriesResponse:
        """Returns a page of one-time passwords that are not sent."""
        wanted = {_FILTERS[request.state]: True} if request.state else {}
        page = await read_page(self._db, UNSENT, request, order_by=request.order_by, **wanted)
        return member_pb2.ListOtpDeliveriesResponse(
            deliveries=[_delivery(row) for row in page.rows],
            next_page_token=page.next_page_token,
            total=page.total,
        )


class SandboxHandlers:
    """Shows codes: a part of SandboxService."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def GetOtp(
        self, request: sandbox_pb2.GetOtpRequest, context: Context
    ) -> sandbox_pb2.GetOtpResponse:
        """Returns the code that was not sent."""
        code = await self._db.read(sandbox_code, UUID(request.otp_id))
        return sandbox_pb2.GetOtpResponse(code=code)


def _delivery(row: UnsentRow) -> otp_pb2.OtpDelivery:
    return otp_pb2.OtpDelivery(
        otp_id=str(row.otp_id),
        state=otp_pb2.OtpDeliveryState.Value(f"OTP_DELIVERY_STATE_{row.state}"),
        recipient=row.recipient.masked(),
        tries=row.tries,
        last_error=row.last_error,
        asked_at=timestamp(row.asked_at),
        tried_at=timestamp(row.tried_at),
        expires_at=timestamp(row.expires_at),
    )
