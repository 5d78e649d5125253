"""Changing and resetting a password: a part of AuthService."""

from __future__ import annotations

from uuid import UUID

from scrip.identity.v1 import auth_pb2

from services.common.caller import caller
from services.common.encoding import Context, client_address, header
from services.identity.accounts import Place
from services.identity.messages import Notices, pick_language
from services.identity.otp import OtpProof
from services.identity.passwords.commands import set_password, set_password_by_otp
from services.identity.passwords.hashing import Passwords
from services.identity.passwords.proof import PasswordProof
from services.identity.sessions import Logins

_RESET_PASSWORD = auth_pb2.OtpPurpose.Name(auth_pb2.OTP_PURPOSE_RESET_PASSWORD)


class PasswordHandlers:
    """Sets passwords for their owners."""

    def __init__(
        self,
        logins: Logins,
        notices: Notices,
        passwords: Passwords,
        *,
        password_proof: PasswordProof,
        otp_proof: OtpProof,
    ) -> None:
        self._logins = logins
        self._notices = notices
        self._passwords = passwords
        self._password_proof = password_proof
        self._otp_proof = otp_proof

    async def ChangePassword(
        self, request: auth_pb2.ChangePasswordRequest, context: Context
    ) -> auth_pb2.ChangePasswordResponse:
        """Proves the old password, sets the new one."""
        who = caller()
        proven = await self._password_proof.password_of(who.id, request.current_password)
        hashed = await self._passwords.hash_new(request.new_password)
        await self._logins.run(
            set_password,
            self._notices,
            actor=who,
            proven=proven,
            password_hash=hashed,
            language=pick_language(header(context, "accept-language")),
        )
        return auth_pb2.ChangePasswordResponse()

    async def ResetPassword(
        self, request: auth_pb2.ResetPasswordRequest, context: Context
    ) -> auth_pb2.ResetPasswordResponse:
        """Proves the phone number or e-mail address, sets the new password."""
        self._passwords.require_strong(request.new_password)
        otp_id, place = UUID(request.otp.otp_id), Place(request.device_id, client_address(context))
        recipient = await self._otp_proof.recipient(otp_id, request.otp.code, _RESET_PASSWORD, place)
        hashed = await self._passwords.hash(request.new_password)
        await self._logins.run(
            set_password_by_otp,
            self._notices,
            recipient=recipient,
            otp_id=otp_id,
            password_hash=hashed,
            language=pick_language(header(context, "accept-language")),
        )
        return auth_pb2.ResetPasswordResponse()
