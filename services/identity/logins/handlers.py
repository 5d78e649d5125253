"""AuthService: the ways in, and out."""

from __future__ import annotations

from uuid import UUID

import orjson
from google.api import httpbody_pb2
from scrip.identity.v1 import auth_pb2, auth_pb2_grpc

from services.common.caller import MEMBER, TILL, caller
from services.common.encoding import Context, client_address, header, timestamp
from services.common.legacy_db import Database
from services.common.throttle import Limit
from services.identity import encoding
from services.identity.keys import keys
from services.identity.logins import queries as accounts
from services.identity.logins.commands.end_sessions import end_sessions
from services.identity.logins.commands.log_in import log_in
from services.identity.logins.commands.refresh_session import refresh_session
from services.identity.logins.session_tokens import SessionTokens
from services.identity.members.commands.register_member import NewMember, register_member
from services.identity.members.phones import to_e164
from services.identity.otp.commands.send_otp import send_otp
from services.identity.otp.recipients import Recipient
from services.identity.passwords.commands import set_password, set_password_by_otp
from services.identity.tills import client_credentials
from services.identity.tools import Tools

_REGISTER = auth_pb2.OtpPurpose.Name(auth_pb2.OTP_PURPOSE_REGISTER)
_LOG_IN = auth_pb2.OtpPurpose.Name(auth_pb2.OTP_PURPOSE_LOG_IN)
_RESET_PASSWORD = auth_pb2.OtpPurpose.Name(auth_pb2.OTP_PURPOSE_RESET_PASSWORD)


class AuthHandlers(auth_pb2_grpc.AuthServiceServicer):
    """Implements AuthService."""

    def __init__(self, db: Database, tools: Tools) -> None:
        settings = tools.settings
        self._db = db
        self._settings = settings
        self._vault = tools.vault
        self._sender = tools.sender
        self._passwords = tools.passwords
        self._issuer = tools.issuer
        self._throttle = tools.throttle
        self._proof = tools.proof
        self._logins = tools.logins
        self._tokens = SessionTokens(tools.issuer, settings.access_seconds)
        self._sends_per_phone = Limit("otp_sends_per_phone", settings.otp_sends_per_phone, 600)
        self._sends_per_email = Limit("otp_sends_per_email", settings.otp_sends_per_phone, 600)
        self._sends_per_address = Limit("otp_sends_per_address", settings.otp_sends_per_address, 600)
        self._sends_in_all = Limit("otp_sends_in_all", settings.otp_sends_in_all, 600)
        # Open without Redis: it costs no message, a process still counts, and others' logins keep their turn.
        self._registrations = Limit(
            "registrations_per_address", settings.registrations_per_address, 600, open_when_away=True
        )

    async def SendOtp(self, request: auth_pb2.SendOtpRequest, context: Context) -> auth_pb2.SendOtpResponse:
        """Limits, then sends."""
        if request.email:
            recipient = Recipient(email=request.email.lower())
            each = (self._sends_per_email, request.email.lower())
        else:
            phone = to_e164(request.phone, self._settings.default_region, self._settings.regions)
            recipient, each = Recipient(phone), (self._sends_per_phone, phone)
        await self._throttle.hit(self._sends_per_address, client_address(context))
        await self._throttle.hit(*each)
        await self._throttle.hit(self._sends_in_all, "")
        purpose = auth_pb2.OtpPurpose.Name(request.purpose)
        sent = await self._db.run(send_otp, self._vault, self._sender, recipient=recipient, purpose=purpose)
        return auth_pb2.SendOtpResponse(otp_id=str(sent.id), expires_at=timestamp(sent.expires_at))

    async def RegisterMember(
        self, request: auth_pb2.RegisterMemberRequest, context: Context
    ) -> auth_pb2.RegisterMemberResponse:
        """Proves the phone number if there is one, limits, then makes the account."""
        otp_id = phone = password_hash = None
        address = client_address(context)
        birthday = encoding.birthday(request.birthday)
        if request.password:
            self._passwords.require_strong(request.password)
        if request.HasField("otp"):
            otp_id = UUID(request.otp.otp_id)
            phone = await self._proof.phone(otp_id, request.otp.code, _REGISTER, address)
        await self._throttle.hit(self._registrations, address)
        if request.password:
            password_hash = await self._passwords.hash(request.password)
        new = NewMember(
            full_name=encoding.name(request.full_name, "full_name"),
            birthday=birthday,
            phone=phone,
            otp_id=otp_id,
            user_name=request.user_name.lower() or None,
            email=request.email.lower() or None,
            password_hash=password_hash,
        )
        made = await self._logins.run(
            register_member,
            self._vault,
            new=new,
            device_id=request.device_id,
            session_seconds=self._settings.refresh_seconds,
        )
        token = self._tokens.opened(made.member.id, MEMBER, made.session)
        return auth_pb2.RegisterMemberResponse(
            member=encoding.member(made.member), token=encoding.session_token(token)
        )

    async def LogIn(self, request: auth_pb2.LogInRequest, context: Context) -> auth_pb2.LogInResponse:
        """By OTP or by password."""
        otp_id, address = None, client_address(context)
        if request.HasField("otp"):
            otp_id = UUID(request.otp.otp_id)
            recipient = await self._proof.recipient(otp_id, request.otp.code, _LOG_IN, address)
            account = await self._db.read(accounts.account_of, recipient)
        else:
            given = request.password
            account = await self._proof.account(given.user_name, given.password, address)
        made = await self._logins.run(
            log_in,
            proven=account,
            otp_id=otp_id,
            device_id=request.device_id,
            most=1 if account.role == MEMBER else self._settings.staff_sessions,
            session_seconds=self._settings.refresh_seconds,
        )
        token = self._tokens.opened(made.account.id, made.account.role, made.session)
        return auth_pb2.LogInResponse(token=encoding.session_token(token))

    async def RefreshSession(
        self, request: auth_pb2.RefreshSessionRequest, context: Context
    ) -> auth_pb2.RefreshSessionResponse:
        """New tokens for an old one."""
        tried = await self._logins.run(
            refresh_session, self._vault, refresh_token=request.refresh_token, device_id=request.device_id
        )
        token = self._tokens.refreshed(tried.require())
        return auth_pb2.RefreshSessionResponse(token=encoding.session_token(token))

    async def LogOut(self, request: auth_pb2.LogOutRequest, context: Context) -> auth_pb2.LogOutResponse:
        """Ends this login, or all."""
        who = caller()
        only = None if request.everywhere else UUID(who.session_id)
        await self._logins.run(end_sessions, account_id=who.id, only=only)
        return auth_pb2.LogOutResponse()

    async def ChangePassword(
        self, request: auth_pb2.ChangePasswordRequest, context: Context
    ) -> auth_pb2.ChangePasswordResponse:
        """Proves the old password, sets the new one."""
        who = caller()
        proven = await self._proof.password_of(who.id, request.current_password)
        hashed = await self._passwords.hash_new(request.new_password)
        await self._logins.run(set_password, actor=who, proven=proven, password_hash=hashed)
        return auth_pb2.ChangePasswordResponse()

    async def ResetPassword(
        self, request: auth_pb2.ResetPasswordRequest, context: Context
    ) -> auth_pb2.ResetPasswordResponse:
        """Proves the phone number or e-mail address, sets the new password."""
        self._passwords.require_strong(request.new_password)
        otp_id, address = UUID(request.otp.otp_id), client_address(context)
        recipient = await self._proof.recipient(otp_id, request.otp.code, _RESET_PASSWORD, address)
        hashed = await self._passwords.hash(request.new_password)
        await self._logins.run(set_password_by_otp, recipient=recipient, otp_id=otp_id, password_hash=hashed)
        return auth_pb2.ResetPasswordResponse()

    async def IssueClientToken(
        self, request: httpbody_pb2.HttpBody, context: Context
    ) -> httpbody_pb2.HttpBody:
        """OAuth 2.0 client credentials (RFC 6749, 4.4)."""
        client_id, secret = client_credentials.parse(request.data, header(context, "authorization"))
        till = await self._proof.client(client_id, secret)
        token = self._issuer.issue(till, TILL, self._settings.client_token_seconds)
        reply = {"access_token": token.value, "token_type": encoding.BEARER, "expires_in": token.expires_in}
        await context.send_initial_metadata((("cache-control", "no-store"),))
        return httpbody_pb2.HttpBody(content_type="application/json", data=orjson.dumps(reply))

    async def GetJwks(self, request: auth_pb2.GetJwksRequest, context: Context) -> httpbody_pb2.HttpBody:
        """The public keys, cacheable for a minute."""
        jwks = await self._db.read(keys.read_jwks)
        await context.send_initial_metadata((("cache-control", "public, max-age=60"),))
        return httpbody_pb2.HttpBody(content_type="application/json", data=orjson.dumps(jwks))
