"""Registering: a part of AuthService."""

from __future__ import annotations

from uuid import UUID

from scrip.identity.v1 import auth_pb2

from services.common.caller import MEMBER
from services.common.encoding import Context, client_address, header, read_name
from services.common.errors import invalid_field
from services.common.throttle import Limit, Throttle
from services.identity.accounts import Place, Recipient
from services.identity.keys import Vault
from services.identity.members.commands import register_member
from services.identity.members.encoding import encode_member, read_birthday
from services.identity.members.statements import NewMember
from services.identity.messages import Notices, pick_language
from services.identity.otp import OtpProof
from services.identity.passwords import Passwords
from services.identity.sessions import Logins, RefreshCookies, SessionTokens
from services.identity.sessions.encoding import session_token
from services.identity.settings import Settings

_REGISTER = auth_pb2.OtpPurpose.Name(auth_pb2.OTP_PURPOSE_REGISTER)


class RegistrationHandlers:
    """Makes accounts for new members."""

    def __init__(
        self,
        settings: Settings,
        vault: Vault,
        throttle: Throttle,
        *,
        notices: Notices,
        logins: Logins,
        tokens: SessionTokens,
        cookies: RefreshCookies,
        passwords: Passwords,
        otp_proof: OtpProof,
    ) -> None:
        self._session_seconds = settings.refresh_seconds
        self._vault = vault
        self._notices = notices
        self._logins = logins
        self._tokens = tokens
        self._cookies = cookies
        self._passwords = passwords
        self._otp_proof = otp_proof
        self._throttle = throttle
        # Open without Redis: it sends no message, each process still counts, and logins keep their places.
        self._per_address = Limit(
            "registrations_per_address", settings.registrations_per_address, 600, open_when_away=True
        )

    async def RegisterMember(
        self, request: auth_pb2.RegisterMemberRequest, context: Context
    ) -> auth_pb2.RegisterMemberResponse:
        """Proves the phone number or e-mail address if an OTP is given, limits, then makes the account."""
        otp_id = password_hash = None
        proven = Recipient()
        place = Place(request.device_id, client_address(context))
        device_id = self._cookies.device(context, request.device_id) if request.cookie else request.device_id
        full_name, birthday = read_name(request.full_name, "full_name"), read_birthday(request.birthday)
        if request.password:
            self._passwords.require_strong(request.password)
        if request.HasField("otp"):
            otp_id = UUID(request.otp.otp_id)
            proven = await self._otp_proof.recipient(otp_id, request.otp.code, _REGISTER, place)
            if proven.email and request.email.lower() not in ("", proven.email):
                raise invalid_field("email", "is not the address that the one-time password was sent to")
        await self._throttle.hit(self._per_address, place.address)
        if request.password:
            password_hash = await self._passwords.hash(request.password)
        new = NewMember(
            full_name=full_name,
            birthday=birthday,
            phone=proven.phone,
            otp_id=otp_id,
            user_name=request.user_name.lower() or None,
            email=proven.email or request.email.lower() or None,
            email_confirmed=proven.email is not None,
            password_hash=password_hash,
        )
        made = await self._logins.run(
            register_member,
            self._vault,
            self._notices,
            new=new,
            device_id=device_id,
            place=place,
            language=pick_language(header(context, "accept-language")),
            session_seconds=self._session_seconds,
        )
        token = session_token(self._tokens.opened(made.member.id, MEMBER, made.session))
        if request.cookie:
            await self._cookies.hand_over(context, token, device_id)
        return auth_pb2.RegisterMemberResponse(member=encode_member(made.member), token=token)
