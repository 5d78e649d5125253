"""AuthService: the ways in."""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote
from uuid import UUID

import orjson
from google.api import httpbody_pb2
from scrip.identity.v1 import auth_pb2, auth_pb2_grpc

from services.common.auth import MEMBER, TILL
from services.common.db import Database
from services.common.encoding import Context, client_address, header, timestamp
from services.common.errors import DomainError, invalid_field
from services.common.throttle import Limit, Throttle
from services.identity import keys, queries
from services.identity.commands.register_member import register_member
from services.identity.commands.send_otp import send_otp
from services.identity.commands.try_otp import try_otp, use_otp
from services.identity.handlers import encoding
from services.identity.otp_sender import OtpSender
from services.identity.passwords import Passwords
from services.identity.phones import to_e164
from services.identity.secrets_at_rest import Vault, hash_secret
from services.identity.settings import Settings
from services.identity.tokens import Token, TokenIssuer

_FAILED_LOG_INS = Limit("failed_log_ins_per_account", 10, 300, open_when_away=True)
_FAILED_CLIENTS = Limit("failed_tokens_per_client", 20, 300, open_when_away=True)
_REGISTER = auth_pb2.OtpPurpose.Name(auth_pb2.OTP_PURPOSE_REGISTER)
_LOG_IN = auth_pb2.OtpPurpose.Name(auth_pb2.OTP_PURPOSE_LOG_IN)


@dataclass(frozen=True)
class AuthTools:
    """What the ways in need beside the database."""

    vault: Vault
    sender: OtpSender
    passwords: Passwords
    issuer: TokenIssuer
    throttle: Throttle


class AuthHandlers(auth_pb2_grpc.AuthServiceServicer):
    """Implements AuthService."""

    def __init__(self, db: Database, settings: Settings, tools: AuthTools) -> None:
        self._db = db
        self._settings = settings
        self._vault = tools.vault
        self._sender = tools.sender
        self._passwords = tools.passwords
        self._issuer = tools.issuer
        self._throttle = tools.throttle
        self._sends_per_phone = Limit("otp_sends_per_phone", settings.otp_sends_per_phone, 600)
        self._sends_per_address = Limit("otp_sends_per_address", settings.otp_sends_per_address, 600)

    async def SendOtp(self, request: auth_pb2.SendOtpRequest, context: Context) -> auth_pb2.SendOtpResponse:
        """Limits, then sends."""
        phone = to_e164(request.phone, self._settings.default_region)
        await self._throttle.hit(self._sends_per_address, client_address(context))
        await self._throttle.hit(self._sends_per_phone, phone)
        purpose = auth_pb2.OtpPurpose.Name(request.purpose)
        sent = await self._db.run(send_otp, self._vault, self._sender, phone=phone, purpose=purpose)
        return auth_pb2.SendOtpResponse(otp_id=str(sent.id), expires_at=timestamp(sent.expires_at))

    async def RegisterMember(
        self, request: auth_pb2.RegisterMemberRequest, context: Context
    ) -> auth_pb2.RegisterMemberResponse:
        """Proves the number, then makes the account."""
        phone = await self._prove(request.otp, _REGISTER)
        member = await self._db.run(
            register_member,
            otp_id=UUID(request.otp.otp_id),
            phone=phone,
            full_name=request.full_name.strip(),
        )
        token = self._issue(member.id, MEMBER)
        return auth_pb2.RegisterMemberResponse(member=encoding.member(member), token=encoding.token(token))

    async def LogIn(self, request: auth_pb2.LogInRequest, context: Context) -> auth_pb2.LogInResponse:
        """Members by OTP, staff by password."""
        if request.HasField("otp"):
            phone = await self._prove(request.otp, _LOG_IN)
            member_id = await self._db.read(queries.member_by_phone, phone)
            await self._db.run(use_otp, UUID(request.otp.otp_id))
            return auth_pb2.LogInResponse(token=encoding.token(self._issue(member_id, MEMBER)))
        return auth_pb2.LogInResponse(token=encoding.token(await self._log_in_staff(request.password)))

    async def IssueClientToken(
        self, request: httpbody_pb2.HttpBody, context: Context
    ) -> httpbody_pb2.HttpBody:
        """OAuth 2.0 client credentials (RFC 6749, 4.4)."""
        client_id, secret = _client_credentials(request, header(context, "authorization"))
        known = _as_uuid(client_id)
        await self._throttle.check(_FAILED_CLIENTS, str(known or client_id))
        kept = await self._db.read(queries.client_secret_hash, known) if known else None
        if kept is None or not hmac.compare_digest(kept, hash_secret(secret)):
            await self._throttle.hit(_FAILED_CLIENTS, str(known or client_id))
            raise _credentials_not_valid()
        token = self._issuer.issue(known, TILL, self._settings.client_token_seconds)
        reply = {"access_token": token.value, "token_type": "Bearer", "expires_in": token.expires_in}
        await context.send_initial_metadata((("cache-control", "no-store"),))
        return httpbody_pb2.HttpBody(content_type="application/json", data=orjson.dumps(reply))

    async def GetJwks(self, request: auth_pb2.GetJwksRequest, context: Context) -> httpbody_pb2.HttpBody:
        """The public keys, cacheable for a minute."""
        jwks = await self._db.read(keys.read_jwks)
        await context.send_initial_metadata((("cache-control", "public, max-age=60"),))
        return httpbody_pb2.HttpBody(content_type="application/json", data=orjson.dumps(jwks))

    async def _prove(self, proof: auth_pb2.OtpProof, purpose: str) -> str:
        tried = await self._db.run(
            try_otp, self._vault, otp_id=UUID(proof.otp_id), code=proof.code, purpose=purpose
        )
        return tried.require()

    async def _log_in_staff(self, given: auth_pb2.PasswordCredentials) -> Token:
        account = given.user_name.lower()
        await self._throttle.check(_FAILED_LOG_INS, account)
        staff = await self._db.read(queries.find_staff, account)
        right = await self._passwords.verify(staff.password_hash if staff else None, given.password)
        if staff is None or not right:
            await self._throttle.hit(_FAILED_LOG_INS, account)
            raise _credentials_not_valid()
        return self._issue(staff.id, staff.role)

    def _issue(self, subject: UUID, role: str) -> Token:
        return self._issuer.issue(subject, role, self._settings.access_token_seconds)


def _client_credentials(request: httpbody_pb2.HttpBody, authorization: str | None) -> tuple[str, str]:
    """Client id and secret, from the form or from HTTP Basic (RFC 6749, 2.3.1)."""
    try:
        form = parse_qs(request.data.decode(), strict_parsing=True, max_num_fields=10)
    except (UnicodeDecodeError, ValueError) as error:
        raise invalid_field("body", "must be application/x-www-form-urlencoded") from error
    if form.get("grant_type") != ["client_credentials"]:
        raise invalid_field("grant_type", "must be client_credentials")
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() == "basic":
        try:
            client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise _credentials_not_valid() from error
        return unquote(client_id), unquote(secret)
    try:
        return form["client_id"][0], form["client_secret"][0]
    except KeyError as error:
        raise invalid_field(str(error.args[0]), "is missing") from error


def _as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _credentials_not_valid() -> DomainError:
    return DomainError("CREDENTIALS_NOT_VALID", "name or secret is wrong")
