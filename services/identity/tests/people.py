"""Members as they meet identity: what several tests do with them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from typing import Any, LiteralString, Self
from uuid import UUID

import grpc
from scrip.identity.v1 import (
    auth_pb2,
    auth_pb2_grpc,
    member_pb2,
    member_pb2_grpc,
    otp_pb2,
    sandbox_pb2,
    sandbox_pb2_grpc,
)
from scrip.points.v1 import points_pb2, points_pb2_grpc
from scrip.promos.v1 import reward_pb2, reward_pb2_grpc
from scrip.vouchers.v1 import wallet_pb2, wallet_pb2_grpc

from services.common.caller import ADMIN
from services.common.db import Connection, execute, fetch_all, fetch_value
from services.common.ids import new_id
from services.identity.accounts import Recipient
from services.identity.messages import MessageSender
from services.identity.otp.commands import send_otp
from tests.inprocess import Platform, bearer, reason

PASSWORD = "a zebra counts backwards"
REGISTER, LOG_IN = auth_pb2.OTP_PURPOSE_REGISTER, auth_pb2.OTP_PURPOSE_LOG_IN
CHANGE_PHONE = auth_pb2.OTP_PURPOSE_CHANGE_PHONE
CONFIRM_EMAIL, STEP_UP = auth_pb2.OTP_PURPOSE_CONFIRM_EMAIL, auth_pb2.OTP_PURPOSE_STEP_UP
LISTENERS = ("points", "promos", "vouchers")
DONE = "done"
_READER = new_id()
"""An admin who reads the sandbox."""


class Values(tuple[Any, ...]):
    """A row without names, to be compared with a tuple."""

    __slots__ = ()

    def __new__(cls, **columns: object) -> Self:
        return super().__new__(cls, columns.values())


@dataclass
class People:
    """Identity as members and staff see it. Refused calls raise what gRPC raises."""

    platform: Platform

    @property
    def channel(self) -> grpc.aio.Channel:
        """A channel to identity."""
        return self.platform.channels["identity"]

    @property
    def auth(self) -> auth_pb2_grpc.AuthServiceStub:
        """AuthService."""
        return auth_pb2_grpc.AuthServiceStub(self.channel)

    @property
    def members(self) -> member_pb2_grpc.MemberServiceStub:
        """MemberService."""
        return member_pb2_grpc.MemberServiceStub(self.channel)

    @property
    def admin(self) -> member_pb2_grpc.MemberAdminServiceStub:
        """MemberAdminService."""
        return member_pb2_grpc.MemberAdminServiceStub(self.channel)

    async def prove(self, to: str, purpose: auth_pb2.OtpPurpose.ValueType) -> otp_pb2.OtpProof:
        """Asks for a one-time password for a number or an e-mail address and reads it in the sandbox."""
        sent = await self.auth.SendOtp(auth_pb2.SendOtpRequest(**recipient(to), purpose=purpose))
        sandbox = sandbox_pb2_grpc.SandboxServiceStub(self.channel)
        request = sandbox_pb2.GetOtpRequest(otp_id=sent.otp_id)
        reply = await sandbox.GetOtp(request, metadata=bearer(await self.platform.token(ADMIN, _READER)))
        return otp_pb2.OtpProof(otp_id=sent.otp_id, code=reply.code)

    async def register(self, **fields: Any) -> auth_pb2.RegisterMemberResponse:
        """Registers a member by password, with a user name when none is given."""
        wanted = {"full_name": "Grace Hopper", "password": PASSWORD, **fields}
        if not {"user_name", "email"} & wanted.keys():
            wanted["user_name"] = new_user_name()
        return await self.auth.RegisterMember(auth_pb2.RegisterMemberRequest(**wanted))

    async def log_in(self, name: str, password: str = PASSWORD) -> auth_pb2.AccessToken:
        """Returns the tokens of a new login by password."""
        given = auth_pb2.PasswordCredentials(user_name=name, password=password)
        return (await self.auth.LogIn(auth_pb2.LogInRequest(password=given))).token

    async def log_in_by_phone(self, phone: str) -> auth_pb2.AccessToken:
        """Returns the tokens of a new login by one-time password."""
        proof = await self.prove(phone, LOG_IN)
        return (await self.auth.LogIn(auth_pb2.LogInRequest(otp=proof))).token

    async def refresh(self, refresh_token: str) -> auth_pb2.AccessToken:
        """Goes on with a login."""
        request = auth_pb2.RefreshSessionRequest(refresh_token=refresh_token)
        return (await self.auth.RefreshSession(request)).token

    async def me(self, token: str) -> member_pb2.Member:
        """Returns the caller's account."""
        return (await self.members.GetMe(member_pb2.GetMeRequest(), metadata=bearer(token))).member

    async def fresh_proof(self, token: str) -> otp_pb2.Proof | None:
        """Returns a proof of who the caller is: by its number, its confirmed address, or its password.

        None for a token that is refused, so that the call for which it was wanted is.
        """
        try:
            me = await self.me(token)
        except grpc.aio.AioRpcError:
            return None
        if me.phone or me.email_confirmed:
            return otp_pb2.Proof(otp=await made_otp(self.platform, me.phone or me.email, STEP_UP))
        return otp_pb2.Proof(password=PASSWORD)

    async def update(
        self, token: str, *, proof: otp_pb2.Proof | None = None, **fields: Any
    ) -> member_pb2.Member:
        """Changes the caller's account, with a fresh proof where one is needed and none is given."""
        changed = {*fields, *fields.get("clear", ())}
        if proof is None and changed & {"user_name", "email"}:
            proof = await self.fresh_proof(token)
        request = member_pb2.UpdateMeRequest(**fields, proof=proof)
        return (await self.members.UpdateMe(request, metadata=bearer(token))).member

    async def set_email(self, token: str, email: str) -> member_pb2.Member:
        """Gives the caller's account another e-mail address and confirms it."""
        await self.update(token, email=email)
        return await self.confirm_email(token, await made_otp(self.platform, email, CONFIRM_EMAIL))

    async def confirm_email(self, token: str, proof: otp_pb2.OtpProof) -> member_pb2.Member:
        """Confirms the caller's e-mail address."""
        request = member_pb2.ConfirmMyEmailRequest(otp=proof)
        return (await self.members.ConfirmMyEmail(request, metadata=bearer(token))).member

    async def change_phone(self, token: str, otp: otp_pb2.OtpProof) -> member_pb2.Member:
        """Changes the caller's phone number, with a fresh proof."""
        request = member_pb2.ChangeMyPhoneRequest(otp=otp, proof=await self.fresh_proof(token))
        return (await self.members.ChangeMyPhone(request, metadata=bearer(token))).member

    async def consent(self, token: str, *, shares: bool, wording: str = "2026-01") -> member_pb2.Member:
        """Sets whether the caller shares contact data."""
        request = member_pb2.SetMyConsentRequest(shares_contact=shares, wording_version=wording)
        return (await self.members.SetMyConsent(request, metadata=bearer(token))).member

    async def close(self, token: str) -> None:
        """Closes the caller's account, with a fresh proof."""
        request = member_pb2.CloseMeRequest(confirm=True, proof=await self.fresh_proof(token))
        await self.members.CloseMe(request, metadata=bearer(token))

    async def told(self, member_id: object) -> list[tuple[str, str]]:
        """Returns kind and masked recipient of the notices to a member, sorted."""
        query = "SELECT kind, recipient FROM notices WHERE member_id = %(id)s"
        return sorted(tuple(row) for row in await self.rows("identity", query, id=UUID(str(member_id))))

    async def get(self, member_id: object, token: str) -> member_pb2.Member:
        """Reads a member, as staff."""
        request = member_pb2.GetMemberRequest(member_id=str(member_id))
        return (await self.admin.GetMember(request, metadata=bearer(token))).member

    async def suspend(
        self, member_id: object, token: str, why: str = "fraud", etag: str = ""
    ) -> member_pb2.Member:
        """Suspends a member, as staff."""
        request = member_pb2.SuspendMemberRequest(member_id=str(member_id), reason=why, etag=etag)
        return (await self.admin.SuspendMember(request, metadata=bearer(token))).member

    async def restore(
        self, member_id: object, token: str, why: str = "a mistake", etag: str = ""
    ) -> member_pb2.Member:
        """Restores a member, as staff."""
        request = member_pb2.RestoreMemberRequest(member_id=str(member_id), reason=why, etag=etag)
        return (await self.admin.RestoreMember(request, metadata=bearer(token))).member

    async def search(self, token: str, **fields: Any) -> member_pb2.ListMembersResponse:
        """Returns a page of members, as staff."""
        return await self.admin.ListMembers(member_pb2.ListMembersRequest(**fields), metadata=bearer(token))

    async def answers(self, token: str) -> set[str]:
        """Returns how each of the four services treats a token: a refusal's reason, or `done`."""
        channels, metadata = self.platform.channels, bearer(token)
        points = points_pb2_grpc.PointsServiceStub(channels["points"])
        wallet = wallet_pb2_grpc.WalletServiceStub(channels["vouchers"])
        rewards = reward_pb2_grpc.RewardServiceStub(channels["promos"])
        calls: list[Awaitable[object]] = [
            self.members.GetMe(member_pb2.GetMeRequest(), metadata=metadata),
            points.GetMyBalance(points_pb2.GetMyBalanceRequest(), metadata=metadata),
            wallet.ListMyVouchers(wallet_pb2.ListMyVouchersRequest(), metadata=metadata),
            rewards.ListMyRewards(reward_pb2.ListMyRewardsRequest(), metadata=metadata),
        ]
        return set(await outcomes(calls))

    async def events(self, member_id: object) -> list[str]:
        """Returns the events of a member that identity keeps, in order, checked to be without gaps."""
        rows = await self.rows(
            "identity",
            "SELECT version, type FROM member_events WHERE member_id = %(id)s ORDER BY version",
            id=UUID(str(member_id)),
        )
        assert [version for version, _ in rows] == list(range(1, len(rows) + 1))
        return [kind for _, kind in rows]

    async def heard(self, member_id: object) -> dict[str, tuple[int, str]]:
        """Version and status of a member as the other services know them."""
        query = "SELECT version, status FROM members WHERE member_id = %(id)s"
        found = {name: await self.rows(name, query, id=UUID(str(member_id))) for name in LISTENERS}
        return {name: rows[0] for name, rows in found.items() if rows}

    async def unsent(self, member_id: object) -> list[tuple[str, int]]:
        """Receiver and version of the events of a member that are still to be sent."""
        query = "SELECT receiver, version FROM outbox WHERE subject = %(id)s ORDER BY receiver, version"
        return [(name, version) for name, version in await self.rows("identity", query, id=str(member_id))]

    async def assert_all_heard(self, member_id: object, status: str = "ACTIVE") -> None:
        """Asserts that all services have all events of a member."""
        last = len(await self.events(member_id))
        assert await self.heard(member_id) == dict.fromkeys(LISTENERS, (last, status))

    async def rows(self, service: str, query: LiteralString, **values: object) -> list[tuple[Any, ...]]:
        """Returns rows straight from a database."""

        async def fetch(connection: Connection) -> list[tuple[Any, ...]]:
            return [*await fetch_all(connection, Values, query, **values)]

        return await self.platform.databases[service].read(fetch)

    async def execute(self, service: str, statement: LiteralString, **values: object) -> None:
        """Changes what no call can change, such as time."""

        async def run(connection: Connection) -> None:
            await execute(connection, statement, **values)

        await self.platform.databases[service].run(run)


def recipient(to: str) -> dict[str, str]:
    """Returns the field of a request in which a number or an e-mail address belongs."""
    return {"email" if "@" in to else "phone": to}


async def made_otp(platform: Platform, to: str, purpose: auth_pb2.OtpPurpose.ValueType) -> otp_pb2.OtpProof:
    """Returns a one-time password, made as SendOtp makes it but not counted against its limits."""
    recipient = Recipient(email=to) if "@" in to else Recipient(phone=to)
    database, name = platform.databases["identity"], auth_pb2.OtpPurpose.Name(purpose)
    sent = await database.run(
        send_otp, platform.vault, MessageSender.sandbox(), recipient=recipient, purpose=name
    )

    async def code(connection: Connection) -> str:
        query = "SELECT code FROM sandbox_otps WHERE otp_id = %(id)s"
        # One that went with its account a moment ago is as good as a wrong one.
        return str(await fetch_value(connection, query, id=sent.id) or "000000")

    return otp_pb2.OtpProof(otp_id=str(sent.id), code=await database.read(code))


def new_user_name() -> str:
    """Returns a user name that nobody has yet."""
    return f"member-{new_id()}"


def new_email() -> str:
    """Returns an e-mail address that nobody has yet."""
    return f"{new_id()}@example.com"


async def outcomes(calls: Iterable[Awaitable[object]]) -> list[str]:
    """Returns what becomes of calls made at once: a reason each, or `done`."""
    return await asyncio.gather(*(outcome(call) for call in calls))


async def outcome(call: Awaitable[object]) -> str:
    """Returns what becomes of a call: a reason, or `done`."""
    task = asyncio.ensure_future(call)
    await asyncio.wait([task])
    return await reason(task) if task.exception() else DONE


def tally(results: Iterable[str]) -> Counter[str]:
    """Returns how often each outcome came."""
    return Counter(results)
