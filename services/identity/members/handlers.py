"""MemberService: what members see and do about themselves."""

from __future__ import annotations

from uuid import UUID

from google.api import httpbody_pb2
from scrip.common.v1 import qr_pb2
from scrip.identity.v1 import auth_pb2, member_pb2

from services.common import qr
from services.common.batching import Batcher
from services.common.caller import caller
from services.common.encoding import Context, caching, image_body, timestamp
from services.common.errors import DomainError, invalid_field
from services.common.ids import utc_now
from services.common.legacy_db import Database
from services.identity import encoding
from services.identity.keys import Vault
from services.identity.member_codes import sign_member_code
from services.identity.members import queries as members
from services.identity.members.commands.change_phone import change_phone
from services.identity.members.commands.close_member import close_member
from services.identity.members.commands.confirm_email import confirm_email
from services.identity.members.commands.set_consent import set_consent
from services.identity.members.commands.update_member import MemberChanges, update_member
from services.identity.members.queries import MemberRow
from services.identity.otp import OtpProof
from services.identity.sessions import Logins

_CHANGE_PHONE = auth_pb2.OtpPurpose.Name(auth_pb2.OTP_PURPOSE_CHANGE_PHONE)
_CONFIRM_EMAIL = auth_pb2.OtpPurpose.Name(auth_pb2.OTP_PURPOSE_CONFIRM_EMAIL)

_LINGER_SECONDS = 0.003
"""Reading many members costs little more than reading one; a crowd is read together."""


class MemberHandlers:
    """Implements MemberService."""

    def __init__(self, db: Database, vault: Vault, otp_proof: OtpProof, logins: Logins) -> None:
        self._db = db
        self._vault = vault
        self._otp_proof = otp_proof
        self._logins = logins
        self._reads = Batcher("members", self._read, linger=_LINGER_SECONDS)

    async def GetMe(self, request: member_pb2.GetMeRequest, context: Context) -> member_pb2.GetMeResponse:
        """The caller's account. Those who ask at the same time are read together."""
        row = await self._reads.submit(caller().id)
        return member_pb2.GetMeResponse(member=encoding.member(row))

    async def _read(self, member_ids: list[UUID]) -> list[MemberRow | DomainError]:
        found = await self._db.read(members.get_members, member_ids)
        return [found.get(member_id) or members.member_not_found(member_id) for member_id in member_ids]

    async def UpdateMe(
        self, request: member_pb2.UpdateMeRequest, context: Context
    ) -> member_pb2.UpdateMeResponse:
        """Changes what is given, empties what is named."""
        for field in request.clear:
            if request.HasField(field):  # type: ignore[arg-type]  # one of three fields, by validation
                raise invalid_field("clear", f"{field} can not be given and emptied at once")
        changes = MemberChanges(
            full_name=encoding.name(request.full_name, "full_name")
            if request.HasField("full_name")
            else None,
            user_name=request.user_name.lower() or None,
            email=request.email.lower() or None,
            birthday=encoding.birthday(request.birthday),
            clear=list(request.clear),
        )
        row = await self._db.run(update_member, member_id=caller().id, changes=changes)
        return member_pb2.UpdateMeResponse(member=encoding.member(row))

    async def ConfirmMyEmail(
        self, request: member_pb2.ConfirmMyEmailRequest, context: Context
    ) -> member_pb2.ConfirmMyEmailResponse:
        """Proves the address, then confirms it if it is the caller's."""
        otp_id = UUID(request.otp.otp_id)
        recipient = await self._otp_proof.recipient(otp_id, request.otp.code, _CONFIRM_EMAIL)
        row = await self._db.run(confirm_email, member_id=caller().id, recipient=recipient, otp_id=otp_id)
        return member_pb2.ConfirmMyEmailResponse(member=encoding.member(row))

    async def ChangeMyPhone(
        self, request: member_pb2.ChangeMyPhoneRequest, context: Context
    ) -> member_pb2.ChangeMyPhoneResponse:
        """Proves the new number, then takes it."""
        otp_id = UUID(request.otp.otp_id)
        phone = await self._otp_proof.phone(otp_id, request.otp.code, _CHANGE_PHONE)
        row = await self._db.run(change_phone, self._vault, member_id=caller().id, phone=phone, otp_id=otp_id)
        return member_pb2.ChangeMyPhoneResponse(member=encoding.member(row))

    async def SetMyConsent(
        self, request: member_pb2.SetMyConsentRequest, context: Context
    ) -> member_pb2.SetMyConsentResponse:
        """Keeps what the caller agreed to."""
        row = await self._db.run(
            set_consent,
            self._vault,
            member_id=caller().id,
            shares_contact=request.shares_contact,
            wording=encoding.name(request.wording_version, "wording_version"),
        )
        return member_pb2.SetMyConsentResponse(member=encoding.member(row))

    async def CloseMe(
        self, request: member_pb2.CloseMeRequest, context: Context
    ) -> member_pb2.CloseMeResponse:
        """Closes the caller's account."""
        await self._logins.run(close_member, self._vault, member_id=caller().id)
        return member_pb2.CloseMeResponse()

    async def GetMyCode(
        self, request: member_pb2.GetMyCodeRequest, context: Context
    ) -> member_pb2.GetMyCodeResponse:
        """The caller's member code, lasting or signed."""
        if request.signed:
            signed = sign_member_code(self._vault, caller().id, utc_now())
            reply = member_pb2.GetMyCodeResponse(
                member_code=signed.text, expires_at=timestamp(signed.expires_at)
            )
        else:
            code = await self._db.read(members.get_member_code, caller().id)
            reply = member_pb2.GetMyCodeResponse(member_code=code)
        await caching(context, _cache_control(request.signed))
        return reply

    async def GetMyQr(self, request: member_pb2.GetMyQrRequest, context: Context) -> httpbody_pb2.HttpBody:
        """The caller's member code as an image."""
        if request.signed:
            code = sign_member_code(self._vault, caller().id, utc_now()).text
        else:
            code = await self._db.read(members.get_member_code, caller().id)
        image = qr.render(
            code,
            svg=request.format == qr_pb2.QR_FORMAT_SVG,
            scale=request.scale or qr.SCALE,
            margin=request.margin or qr.MARGIN,
        )
        return await image_body(context, image, _cache_control(request.signed))


def _cache_control(signed: bool) -> str:
    return "no-store" if signed else "private, max-age=300"
