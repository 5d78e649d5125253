"""A member's devices: logging in and going on with a login, over the wire and faster than a thumb."""

from __future__ import annotations

from dataclasses import dataclass

from scrip.identity.v1 import auth_pb2, otp_pb2

from services.common.ids import new_id
from services.identity.tests.people import LOG_IN, People, made_otp
from tests.inprocess import Member


@dataclass
class Device:
    """A device and the tokens that it holds."""

    people: People
    phone: str
    id: str
    token: auth_pb2.AccessToken

    @property
    def access(self) -> str:
        """The access token."""
        return self.token.access_token

    async def refresh(self) -> auth_pb2.AccessToken:
        """Goes on with its login, and keeps what it gets."""
        self.token = await use(self.people, self.token.refresh_token, self.id)
        return self.token


async def device_of(people: People, member: Member, name: str = "") -> Device:
    """Returns a new login of the member on a device that nobody else has."""
    device_id = name or f"device-{new_id()}"
    return Device(people, member.phone, device_id, await log_in(people, member.phone, device_id))


async def log_in(people: People, phone: str, device_id: str) -> auth_pb2.AccessToken:
    """Returns the tokens of a new login by one-time password."""
    proof = await proven(people, phone, LOG_IN)
    request = auth_pb2.LogInRequest(otp=proof, device_id=device_id)
    return (await people.auth.LogIn(request)).token


async def use(people: People, refresh_token: str, device_id: str) -> auth_pb2.AccessToken:
    """Returns what a refresh token gives."""
    request = auth_pb2.RefreshSessionRequest(refresh_token=refresh_token, device_id=device_id)
    return (await people.auth.RefreshSession(request)).token


async def proven(people: People, phone: str, purpose: auth_pb2.OtpPurpose.ValueType) -> otp_pb2.OtpProof:
    """Returns a one-time password that is not counted against the limits of sending."""
    return await made_otp(people.platform, phone, purpose)
