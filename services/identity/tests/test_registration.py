"""Registering and logging in by one-time password."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import grpc
import pytest
from scrip.identity.v1 import (
    auth_pb2,
    auth_pb2_grpc,
    member_pb2,
    member_pb2_grpc,
    sandbox_pb2,
    sandbox_pb2_grpc,
)
from sqlalchemy import text

from services.common.db import Connection
from tests.inprocess import ADMIN_PASSWORD, Platform, bearer, eventually, new_phone, reason, refusal

REGISTER = auth_pb2.OTP_PURPOSE_REGISTER
LOG_IN = auth_pb2.OTP_PURPOSE_LOG_IN


@pytest.fixture(scope="module")
def grpc_stub_cls(grpc_channel: grpc.aio.Channel) -> type[auth_pb2_grpc.AuthServiceStub]:
    return auth_pb2_grpc.AuthServiceStub


async def read_code(platform: Platform, otp_id: str) -> str:
    sandbox = sandbox_pb2_grpc.SandboxServiceStub(platform.channels["identity"])
    reply = await sandbox.GetOtp(
        sandbox_pb2.GetOtpRequest(otp_id=otp_id), metadata=bearer(await platform.admin())
    )
    return reply.code


async def send(
    stub: auth_pb2_grpc.AuthServiceStub,
    platform: Platform,
    phone: str,
    purpose: auth_pb2.OtpPurpose.ValueType = REGISTER,
) -> auth_pb2.OtpProof:
    sent = await stub.SendOtp(auth_pb2.SendOtpRequest(phone=phone, purpose=purpose))
    return auth_pb2.OtpProof(otp_id=sent.otp_id, code=await read_code(platform, sent.otp_id))


def registration(proof: auth_pb2.OtpProof) -> auth_pb2.RegisterMemberRequest:
    return auth_pb2.RegisterMemberRequest(otp=proof, full_name="Grace Hopper")


async def test_a_number_registers_and_its_token_opens_its_account(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, platform: Platform
) -> None:
    phone = new_phone()
    reply = await grpc_stub.RegisterMember(registration(await send(grpc_stub, platform, phone)))
    members = member_pb2_grpc.MemberServiceStub(platform.channels["identity"])
    me = await members.GetMe(member_pb2.GetMeRequest(), metadata=bearer(reply.token.access_token))
    assert me.member == reply.member
    assert me.member.phone == phone
    assert me.member.full_name == "Grace Hopper"


async def test_national_form_and_e164_are_the_same_number(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, platform: Platform
) -> None:
    phone = new_phone()
    national = f"({phone[2:5]}) {phone[5:8]}-{phone[8:]}"
    reply = await grpc_stub.RegisterMember(registration(await send(grpc_stub, platform, national)))
    assert reply.member.phone == phone


async def test_a_registered_number_logs_in_and_cannot_register_again(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, platform: Platform
) -> None:
    phone = new_phone()
    made = await grpc_stub.RegisterMember(registration(await send(grpc_stub, platform, phone)))
    proof = await send(grpc_stub, platform, phone)
    assert await reason(grpc_stub.RegisterMember(registration(proof))) == "PHONE_TAKEN"
    login = await send(grpc_stub, platform, phone, LOG_IN)
    token = (await grpc_stub.LogIn(auth_pb2.LogInRequest(otp=login))).token.access_token
    members = member_pb2_grpc.MemberServiceStub(platform.channels["identity"])
    me = await members.GetMe(member_pb2.GetMeRequest(), metadata=bearer(token))
    assert me.member.id == made.member.id


async def test_fifty_registrations_of_one_number_at_once_make_one_account(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, platform: Platform
) -> None:
    phone = new_phone()
    proofs = [await send(grpc_stub, platform, phone) for _ in range(5)]
    calls = [grpc_stub.RegisterMember(registration(proof)) for proof in proofs * 10]
    results = await asyncio.gather(*(outcome(call) for call in calls))
    assert results.count("made") == 1
    assert set(results) <= {"made", "PHONE_TAKEN", "OTP_NOT_VALID", "OTP_TRIES_EXHAUSTED"}


async def outcome(call: Awaitable[object]) -> str:
    try:
        return await reason(call)
    except AssertionError:
        return "made"


async def test_a_code_is_used_up_by_its_use(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, platform: Platform
) -> None:
    phone = new_phone()
    await grpc_stub.RegisterMember(registration(await send(grpc_stub, platform, phone)))
    login = await send(grpc_stub, platform, phone, LOG_IN)
    await grpc_stub.LogIn(auth_pb2.LogInRequest(otp=login))
    assert await reason(grpc_stub.LogIn(auth_pb2.LogInRequest(otp=login))) == "OTP_NOT_VALID"


async def test_a_code_serves_only_its_purpose(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, platform: Platform
) -> None:
    proof = await send(grpc_stub, platform, new_phone(), LOG_IN)
    assert await reason(grpc_stub.RegisterMember(registration(proof))) == "OTP_NOT_VALID"


async def test_five_wrong_tries_kill_a_code_even_at_once(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, platform: Platform
) -> None:
    right = await send(grpc_stub, platform, new_phone())
    wrong_code = f"{(int(right.code) + 1) % 1_000_000:06d}"
    wrong = auth_pb2.OtpProof(otp_id=right.otp_id, code=wrong_code)
    refusals = await asyncio.gather(
        *(refusal(grpc_stub.RegisterMember(registration(wrong))) for _ in range(20))
    )
    left = sorted(metadata["tries_left"] for name, _, metadata in refusals if name == "OTP_NOT_VALID")
    assert left == ["1", "2", "3", "4"]
    assert await reason(grpc_stub.RegisterMember(registration(right))) == "OTP_TRIES_EXHAUSTED"


async def test_an_expired_code_is_refused_as_expired(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, platform: Platform
) -> None:
    proof = await send(grpc_stub, platform, new_phone())

    async def expire(connection: Connection) -> None:
        await connection.execute(
            text("UPDATE otps SET expires_at = now() WHERE id = :id"), {"id": proof.otp_id}
        )

    await platform.databases["identity"].run(expire)
    assert await reason(grpc_stub.RegisterMember(registration(proof))) == "OTP_EXPIRED"


async def test_the_code_is_not_kept_readable(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, platform: Platform
) -> None:
    proof = await send(grpc_stub, platform, new_phone())

    async def kept(connection: Connection) -> bytes:
        row = await connection.execute(
            text("SELECT code_hash FROM otps WHERE id = :id"), {"id": proof.otp_id}
        )
        return bytes(row.scalar_one())

    stored = await platform.databases["identity"].read(kept)
    assert proof.code.encode() not in stored
    assert len(stored) == 32


async def test_a_number_may_ask_for_five_codes_and_then_must_wait(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, platform: Platform
) -> None:
    request = auth_pb2.SendOtpRequest(phone=new_phone(), purpose=REGISTER)
    for _ in range(5):
        await grpc_stub.SendOtp(request)
    name, code, metadata = await refusal(grpc_stub.SendOtp(request))
    assert (name, code) == ("TOO_MANY_REQUESTS", grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert metadata["limit"] == "otp_sends_per_phone"
    assert 0 < int(metadata["retry_after_seconds"]) <= 600


@pytest.mark.parametrize("phone", ["12345", "not a number", "+999123456789", "+1 415"])
async def test_what_is_not_a_phone_number_is_refused(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, phone: str
) -> None:
    request = auth_pb2.SendOtpRequest(phone=phone, purpose=REGISTER)
    assert await reason(grpc_stub.SendOtp(request)) == "VALIDATION_FAILED"


async def test_logging_in_with_an_unknown_number_is_told_only_to_its_owner(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, platform: Platform
) -> None:
    login = await send(grpc_stub, platform, new_phone(), LOG_IN)
    assert await reason(grpc_stub.LogIn(auth_pb2.LogInRequest(otp=login))) == "ACCOUNT_NOT_FOUND"


async def test_registration_tells_the_other_services(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, platform: Platform
) -> None:
    reply = await grpc_stub.RegisterMember(registration(await send(grpc_stub, platform, new_phone())))

    async def delivered(connection: Connection) -> dict[str, int]:
        rows = await connection.execute(
            text("SELECT service, delivered_version FROM member_event_deliveries WHERE member_id = :id"),
            {"id": reply.member.id},
        )
        return {row.service: row.delivered_version for row in rows}

    async def all_know() -> None:
        assert await platform.databases["identity"].read(delivered) == {
            "points": 2,
            "promos": 2,
            "vouchers": 2,
        }

    await eventually(all_know)


async def test_staff_log_in_by_password_whatever_the_letter_case(
    grpc_stub: auth_pb2_grpc.AuthServiceStub,
) -> None:
    password = auth_pb2.PasswordCredentials(user_name="ADMIN", password=ADMIN_PASSWORD)
    reply = await grpc_stub.LogIn(auth_pb2.LogInRequest(password=password))
    assert reply.token.expires_in == 86_400


async def test_a_wrong_password_and_an_unknown_name_look_alike_and_are_limited(
    grpc_stub: auth_pb2_grpc.AuthServiceStub,
) -> None:
    for name in ("nobody", "somebody"):
        wrong = auth_pb2.LogInRequest(password=auth_pb2.PasswordCredentials(user_name=name, password="x"))
        for _ in range(10):
            assert (await refusal(grpc_stub.LogIn(wrong)))[0] == "CREDENTIALS_NOT_VALID"
        assert await reason(grpc_stub.LogIn(wrong)) == "TOO_MANY_REQUESTS"
