"""Registering and logging in by one-time password."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable

import grpc
import pytest
from scrip.identity.v1 import (
    auth_pb2,
    auth_pb2_grpc,
    member_pb2,
    member_pb2_grpc,
    otp_pb2,
    sandbox_pb2,
    sandbox_pb2_grpc,
)

from services.common.db import Connection, execute, fetch_value
from services.common.ids import new_id
from services.identity.keys import Vault
from services.identity.tests.people import (
    DONE,
    LISTENERS,
    PASSWORD,
    People,
    new_email,
    new_user_name,
    outcomes,
    tally,
)
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
) -> otp_pb2.OtpProof:
    sent = await stub.SendOtp(auth_pb2.SendOtpRequest(phone=phone, purpose=purpose))
    return otp_pb2.OtpProof(otp_id=sent.otp_id, code=await read_code(platform, sent.otp_id))


def registration(proof: otp_pb2.OtpProof) -> auth_pb2.RegisterMemberRequest:
    return auth_pb2.RegisterMemberRequest(otp=proof, full_name="Grace Hopper")


@pytest.mark.covers("I1 AuthService.RegisterMember", "I8 MemberService.GetMe")
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


@pytest.mark.covers("I1 AuthService.SendOtp")
async def test_national_form_and_e164_are_the_same_number(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, platform: Platform
) -> None:
    phone = new_phone()
    national = f"({phone[2:5]}) {phone[5:8]}-{phone[8:]}"
    reply = await grpc_stub.RegisterMember(registration(await send(grpc_stub, platform, national)))
    assert reply.member.phone == phone


@pytest.mark.covers("I1 AuthService.LogIn")
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


@pytest.mark.covers("I2 AuthService.RegisterMember")
async def test_by_password_one_registers_and_logs_in_by_any_of_three_names(people: People) -> None:
    phone, user_name, email = new_phone(), new_user_name(), new_email()
    made = await people.register(
        otp=await people.prove(phone, REGISTER),
        user_name=user_name.upper(),
        email=email.upper(),
        birthday="1906-12-09",
    )
    assert (made.member.user_name, made.member.email, made.member.phone) == (user_name, email, phone)
    assert (made.member.birthday, made.member.has_password) == ("1906-12-09", True)
    national = f"({phone[2:5]}) {phone[5:8]}-{phone[8:]}"
    for name in (user_name, user_name.title(), email, email.title(), phone, national):
        login = await people.log_in(name)
        assert (await people.me(login.access_token)).id == made.member.id


@pytest.mark.covers("I2 AuthService.RegisterMember")
@pytest.mark.parametrize("name", ["user_name", "email"])
async def test_one_name_and_a_password_are_enough(people: People, name: str) -> None:
    value = {"user_name": new_user_name(), "email": new_email()}[name]
    made = await people.register(**{name: value})
    assert (made.member.phone, getattr(made.member, name)) == ("", value)
    assert (await people.me(made.token.access_token)).id == made.member.id
    await people.log_in(value)


@pytest.mark.covers("I2 AuthService.RegisterMember")
async def test_the_password_is_not_kept_readable(people: People) -> None:
    made = await people.register()
    query = "SELECT password_hash FROM accounts WHERE id = %(id)s"
    [(kept,)] = await people.rows("identity", query, id=made.member.id)
    assert kept.startswith("$argon2id$")
    assert PASSWORD not in kept


@pytest.mark.covers("I2 AuthService.RegisterMember")
@pytest.mark.parametrize(
    ("password", "rule"), [("short7!", "length"), ("password", "common"), ("12345678", "common")]
)
async def test_a_weak_password_is_refused(people: People, password: str, rule: str) -> None:
    name, code, metadata = await refusal(people.register(password=password))
    assert (name, code, metadata) == (
        "PASSWORD_TOO_WEAK",
        grpc.StatusCode.INVALID_ARGUMENT,
        {"rule": rule},
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"user_name": "", "email": ""},
        {"user_name": "", "email": "", "birthday": "1990-01-01"},
        {"password": ""},
        {"password": "x" * 129},
        {"full_name": ""},
        {"full_name": "   "},
        {"full_name": "\u2003"},
        {"full_name": "x" * 121},
        {"user_name": "1st"},
        {"user_name": "ab"},
        {"user_name": "a b c"},
        {"user_name": "+14155550100"},
        {"email": "nobody"},
        {"email": "a@b@example.com"},
        {"birthday": "01-02-1990"},
        {"birthday": "1990-02-30"},
        {"birthday": "1850-01-01"},
        {"birthday": "2999-01-01"},
        {"device_id": "x" * 129},
    ],
)
async def test_a_malformed_registration_is_refused(people: People, fields: dict[str, str]) -> None:
    assert await reason(people.register(**fields)) == "VALIDATION_FAILED"


@pytest.mark.covers("I2 AuthService.RegisterMember")
@pytest.mark.parametrize(("field", "taken"), [("user_name", "USER_NAME_TAKEN"), ("email", "EMAIL_TAKEN")])
async def test_of_fifty_registrations_of_one_name_at_once_one_is_made(
    people: People, field: str, taken: str
) -> None:
    name = {"user_name": new_user_name(), "email": new_email()}[field]
    proofs = [await people.prove(new_phone(), REGISTER) for _ in range(50)]

    async def register(number: int) -> None:
        request = auth_pb2.RegisterMemberRequest(otp=proofs[number], full_name="Grace Hopper")
        setattr(request, field, name.upper() if number % 2 else name)
        await people.auth.RegisterMember(request)

    results = await outcomes(map(register, range(50)))
    assert tally(results) == {DONE: 1, taken: 49}


@pytest.mark.covers("I2 AuthService.RegisterMember")
async def test_a_taken_name_leaves_the_one_time_password_good(people: People) -> None:
    owner = (await people.register()).member
    proof = await people.prove(new_phone(), REGISTER)
    assert await reason(people.register(otp=proof, user_name=owner.user_name)) == "USER_NAME_TAKEN"
    await people.register(otp=proof)


@pytest.mark.covers("I1 AuthService.RegisterMember")
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


@pytest.mark.covers("I1 AuthService.LogIn")
async def test_a_code_is_used_up_by_its_use(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, platform: Platform
) -> None:
    phone = new_phone()
    await grpc_stub.RegisterMember(registration(await send(grpc_stub, platform, phone)))
    login = await send(grpc_stub, platform, phone, LOG_IN)
    await grpc_stub.LogIn(auth_pb2.LogInRequest(otp=login))
    assert await reason(grpc_stub.LogIn(auth_pb2.LogInRequest(otp=login))) == "OTP_NOT_VALID"


async def test_a_code_sent_in_five_times_at_once_logs_in_once(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, platform: Platform
) -> None:
    for _ in range(5):
        member = await platform.member()
        request = auth_pb2.LogInRequest(otp=await send(grpc_stub, platform, member.phone, LOG_IN))
        results = tally(await outcomes(grpc_stub.LogIn(request) for _ in range(5)))
        assert results == {DONE: 1, "OTP_NOT_VALID": 4}


async def test_a_stranger_learns_nothing_of_a_number(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, platform: Platform
) -> None:
    """Whether or not it has an account, and whatever is asked for: same response, same refusals."""

    async def seen(phone: str, purpose: auth_pb2.OtpPurpose.ValueType) -> list[object]:
        sent = await grpc_stub.SendOtp(auth_pb2.SendOtpRequest(phone=phone, purpose=purpose))
        code = await read_code(platform, sent.otp_id)
        wrong = otp_pb2.OtpProof(otp_id=sent.otp_id, code=f"{(int(code) + 1) % 1_000_000:06d}")
        reset = auth_pb2.ResetPasswordRequest(otp=wrong, new_password=PASSWORD)
        calls: dict[int, Callable[[], Awaitable[object]]] = {
            REGISTER: lambda: grpc_stub.RegisterMember(registration(wrong)),
            LOG_IN: lambda: grpc_stub.LogIn(auth_pb2.LogInRequest(otp=wrong)),
            auth_pb2.OTP_PURPOSE_RESET_PASSWORD: lambda: grpc_stub.ResetPassword(reset),
        }
        fields = [field.name for field, _ in sent.ListFields()]
        return [fields, *[await refusal(calls[purpose]()) for _ in range(6)]]

    for purpose in (REGISTER, LOG_IN, auth_pb2.OTP_PURPOSE_RESET_PASSWORD):
        known = (await platform.member()).phone
        assert await seen(known, purpose) == await seen(new_phone(), purpose)


@pytest.mark.covers("I1 AuthService.LogIn")
async def test_a_code_serves_only_its_purpose(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, platform: Platform
) -> None:
    proof = await send(grpc_stub, platform, new_phone(), LOG_IN)
    assert await reason(grpc_stub.RegisterMember(registration(proof))) == "OTP_NOT_VALID"


@pytest.mark.covers("I1 AuthService.RegisterMember")
async def test_five_wrong_tries_kill_a_code_even_at_once(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, platform: Platform
) -> None:
    right = await send(grpc_stub, platform, new_phone())
    wrong_code = f"{(int(right.code) + 1) % 1_000_000:06d}"
    wrong = otp_pb2.OtpProof(otp_id=right.otp_id, code=wrong_code)
    refusals = await asyncio.gather(
        *(refusal(grpc_stub.RegisterMember(registration(wrong))) for _ in range(20))
    )
    left = sorted(metadata["tries_left"] for name, _, metadata in refusals if name == "OTP_NOT_VALID")
    assert left == ["1", "2", "3", "4"]
    assert await reason(grpc_stub.RegisterMember(registration(right))) == "OTP_TRIES_EXHAUSTED"


@pytest.mark.covers("I1 AuthService.RegisterMember")
async def test_an_expired_code_is_refused_as_expired(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, platform: Platform
) -> None:
    proof = await send(grpc_stub, platform, new_phone())

    async def expire(connection: Connection) -> None:
        await execute(connection, "UPDATE otps SET expires_at = now() WHERE id = %(id)s", id=proof.otp_id)

    await platform.databases["identity"].run(expire)
    assert await reason(grpc_stub.RegisterMember(registration(proof))) == "OTP_EXPIRED"


@pytest.mark.covers("I1 AuthService.SendOtp")
async def test_the_code_is_not_kept_readable(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, platform: Platform
) -> None:
    proof = await send(grpc_stub, platform, new_phone())

    async def kept(connection: Connection) -> bytes:
        query = "SELECT code_hash FROM otps WHERE id = %(id)s"
        return bytes(await fetch_value(connection, query, id=proof.otp_id))

    stored = await platform.databases["identity"].read(kept)
    assert proof.code.encode() not in stored
    assert len(stored) == 32
    vault = platform.vault
    assert stored == vault.hash_otp(proof.otp_id, proof.code)
    other_key = Vault(base64.b64encode(bytes(32)).decode())
    others = (vault.hash_otp(new_id(), proof.code), other_key.hash_otp(proof.otp_id, proof.code))
    assert stored not in others, "neither another request nor another key has this hash"


@pytest.mark.covers("I1 AuthService.SendOtp")
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


@pytest.mark.covers("I1 AuthService.SendOtp")
@pytest.mark.parametrize("phone", ["12345", "not a number", "+999123456789", "+1 415"])
async def test_what_is_not_a_phone_number_is_refused(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, phone: str
) -> None:
    request = auth_pb2.SendOtpRequest(phone=phone, purpose=REGISTER)
    assert await reason(grpc_stub.SendOtp(request)) == "VALIDATION_FAILED"


@pytest.mark.covers("I1 AuthService.LogIn")
async def test_logging_in_with_an_unknown_number_is_told_only_to_its_owner(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, platform: Platform
) -> None:
    login = await send(grpc_stub, platform, new_phone(), LOG_IN)
    assert await reason(grpc_stub.LogIn(auth_pb2.LogInRequest(otp=login))) == "ACCOUNT_NOT_FOUND"


async def test_registration_tells_the_other_services(
    grpc_stub: auth_pb2_grpc.AuthServiceStub, platform: Platform
) -> None:
    reply = await grpc_stub.RegisterMember(registration(await send(grpc_stub, platform, new_phone())))

    people = People(platform)

    async def all_know() -> None:
        assert await people.heard(reply.member.id) == dict.fromkeys(LISTENERS, (2, "ACTIVE"))
        assert await people.unsent(reply.member.id) == []

    await eventually(all_know)


@pytest.mark.covers("I6 AuthService.LogIn")
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
