"""MemberService: what members see and do about themselves."""

from __future__ import annotations

from uuid import UUID

from scrip.identity.v1 import auth_pb2, member_pb2

from services.common.batching import Batcher
from services.common.caller import caller
from services.common.db import Database
from services.common.encoding import Context, header, read_name, read_text
from services.common.errors import DomainError, invalid_field
from services.identity.keys import Vault
from services.identity.members.commands import (
    change_phone,
    close_member,
    confirm_email,
    set_consent,
    update_member,
)
from services.identity.members.encoding import encode_member, read_birthday
from services.identity.members.queries import MemberRow, get_members
from services.identity.members.refusals import member_not_found
from services.identity.members.statements import MemberChanges
from services.identity.members.step_up import StepUp
from services.identity.messages import Notices, pick_language
from services.identity.otp import OtpProof
from services.identity.sessions import Logins

_CHANGE_PHONE = auth_pb2.OtpPurpose.Name(auth_pb2.OTP_PURPOSE_CHANGE_PHONE)
_CONFIRM_EMAIL = auth_pb2.OtpPurpose.Name(auth_pb2.OTP_PURPOSE_CONFIRM_EMAIL)


class MemberHandlers:
    """Implements MemberService."""

    def __init__(
        self,
        db: Database,
        vault: Vault,
        logins: Logins,
        notices: Notices,
        *,
        otp_proof: OtpProof,
        step_up: StepUp,
    ) -> None:
        self._db = db
        self._vault = vault
        self._logins = logins
        self._notices = notices
        self._otp_proof = otp_proof
        self._step_up = step_up
        self._reads = Batcher("members", self._read)

    async def GetMe(self, request: member_pb2.GetMeRequest, context: Context) -> member_pb2.GetMeResponse:
        """Returns the caller's account. Those who ask at the same time are read together."""
        row = await self._reads.submit(caller().id)
        return member_pb2.GetMeResponse(member=encode_member(row))

    async def _read(self, member_ids: list[UUID]) -> list[MemberRow | DomainError]:
        found = await self._db.read(get_members, member_ids)
        return [found.get(member_id) or member_not_found(member_id) for member_id in member_ids]

    async def UpdateMe(
        self, request: member_pb2.UpdateMeRequest, context: Context
    ) -> member_pb2.UpdateMeResponse:
        """Changes what is given, empties what is named; judges the proof if there is one."""
        for field in request.clear:
            if request.HasField(field):  # type: ignore[arg-type]  # one of three fields, by validation
                raise invalid_field("clear", f"{field} can not be given and emptied at once")
        changes = MemberChanges(
            full_name=read_name(request.full_name, "full_name") if request.HasField("full_name") else None,
            user_name=request.user_name.lower() or None,
            email=request.email.lower() or None,
            birthday=read_birthday(request.birthday),
            clear=list(request.clear),
        )
        proof = await self._step_up.judge(caller().id, request.proof)
        row = await self._db.run(
            update_member,
            self._notices,
            member_id=caller().id,
            changes=changes,
            proof=proof,
            language=_language(context),
        )
        return member_pb2.UpdateMeResponse(member=encode_member(row))

    async def ConfirmMyEmail(
        self, request: member_pb2.ConfirmMyEmailRequest, context: Context
    ) -> member_pb2.ConfirmMyEmailResponse:
        """Proves the address, then confirms it if the caller has it or wants it."""
        otp_id = UUID(request.otp.otp_id)
        recipient = await self._otp_proof.recipient(otp_id, request.otp.code, _CONFIRM_EMAIL)
        assert recipient.email, "a constraint keeps phone numbers from this purpose"
        row = await self._db.run(
            confirm_email,
            self._notices,
            member_id=caller().id,
            email=recipient.email,
            otp_id=otp_id,
            language=_language(context),
        )
        return member_pb2.ConfirmMyEmailResponse(member=encode_member(row))

    async def ChangeMyPhone(
        self, request: member_pb2.ChangeMyPhoneRequest, context: Context
    ) -> member_pb2.ChangeMyPhoneResponse:
        """Proves who calls and the new number, then takes it."""
        otp_id = UUID(request.otp.otp_id)
        proof = await self._step_up.judge(caller().id, request.proof)
        phone = await self._otp_proof.phone(otp_id, request.otp.code, _CHANGE_PHONE)
        row = await self._db.run(
            change_phone,
            self._vault,
            self._notices,
            member_id=caller().id,
            phone=phone,
            otp_id=otp_id,
            proof=proof,
            language=_language(context),
        )
        return member_pb2.ChangeMyPhoneResponse(member=encode_member(row))

    async def SetMyConsent(
        self, request: member_pb2.SetMyConsentRequest, context: Context
    ) -> member_pb2.SetMyConsentResponse:
        """Keeps what the caller agreed to."""
        row = await self._db.run(
            set_consent,
            self._vault,
            member_id=caller().id,
            shares_contact=request.shares_contact,
            wording=read_text(request.wording_version, "wording_version"),
        )
        return member_pb2.SetMyConsentResponse(member=encode_member(row))

    async def CloseMe(
        self, request: member_pb2.CloseMeRequest, context: Context
    ) -> member_pb2.CloseMeResponse:
        """Proves who calls, then closes the account."""
        await self._logins.run(
            close_member,
            self._vault,
            self._notices,
            member_id=caller().id,
            proof=await self._step_up.judge(caller().id, request.proof),
            language=_language(context),
        )
        return member_pb2.CloseMeResponse()


def _language(context: Context) -> str:
    return pick_language(header(context, "accept-language"))
