"""Logging in: a part of AuthService."""

from __future__ import annotations

from uuid import UUID

from scrip.identity.v1 import auth_pb2

from services.common.caller import MEMBER
from services.common.db import Database
from services.common.encoding import Context, client_address
from services.identity.accounts import Place, account_of
from services.identity.keys import Vault
from services.identity.logins.commands import log_in
from services.identity.otp import OtpProof
from services.identity.passwords import PasswordProof
from services.identity.sessions import Logins, RefreshCookies, SessionTokens
from services.identity.sessions.encoding import session_token
from services.identity.settings import Settings

_LOG_IN = auth_pb2.OtpPurpose.Name(auth_pb2.OTP_PURPOSE_LOG_IN)


class LoginHandlers:
    """Logs people in."""

    def __init__(
        self,
        db: Database,
        settings: Settings,
        logins: Logins,
        tokens: SessionTokens,
        *,
        vault: Vault,
        cookies: RefreshCookies,
        password_proof: PasswordProof,
        otp_proof: OtpProof,
    ) -> None:
        self._db = db
        self._settings = settings
        self._logins = logins
        self._tokens = tokens
        self._vault = vault
        self._cookies = cookies
        self._password_proof = password_proof
        self._otp_proof = otp_proof

    async def LogIn(self, request: auth_pb2.LogInRequest, context: Context) -> auth_pb2.LogInResponse:
        """Logs in by OTP or by password."""
        otp_id, place = None, Place(request.device_id, client_address(context))
        device_id = self._cookies.device(context, request.device_id) if request.cookie else request.device_id
        if request.HasField("otp"):
            otp_id = UUID(request.otp.otp_id)
            recipient = await self._otp_proof.recipient(otp_id, request.otp.code, _LOG_IN, place)
            account = await self._db.read(account_of, recipient)
        else:
            given = request.password
            account = await self._password_proof.account(given.user_name, given.password, place)
        made = await self._logins.run(
            log_in,
            proven=account,
            otp_id=otp_id,
            device_id=device_id,
            place_hashes=place.hashes(self._vault, account.id),
            most=1 if account.role == MEMBER else self._settings.staff_sessions,
            session_seconds=self._settings.refresh_seconds,
        )
        account = made.account
        token = session_token(self._tokens.opened(account.id, account.role, made.session, account.brand_id))
        if request.cookie:
            await self._cookies.hand_over(context, token, device_id)
        return auth_pb2.LogInResponse(token=token)
