"""One-time passwords by e-mail: for whom they are, what they are good for, and when they are not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import grpc
import pytest
from scrip.identity.v1 import auth_pb2, member_pb2, otp_pb2

from services.common.db import UnforeseenError
from services.identity.accounts import Recipient
from services.identity.messages import MessageSender
from services.identity.otp.commands import send_otp
from services.identity.tests.people import (
    CHANGE_PHONE,
    CONFIRM_EMAIL,
    DONE,
    LOG_IN,
    PASSWORD,
    REGISTER,
    People,
    new_email,
    outcome,
    outcomes,
    recipient,
    tally,
)
from tests.inprocess import Platform, bearer, eventually, new_phone, reason, refusal, refused_status

RESET = auth_pb2.OTP_PURPOSE_RESET_PASSWORD
OTHER = "a giraffe counts forwards"
TRIES = {"OTP_NOT_VALID", "OTP_TRIES_EXHAUSTED"}


def log_in(people: People, proof: otp_pb2.OtpProof) -> Awaitable[auth_pb2.LogInResponse]:
    """Logs in by one-time password."""
    return people.auth.LogIn(auth_pb2.LogInRequest(otp=proof))


def reset(people: People, proof: otp_pb2.OtpProof) -> Awaitable[auth_pb2.ResetPasswordResponse]:
    """Sets another password."""
    return people.auth.ResetPassword(auth_pb2.ResetPasswordRequest(otp=proof, new_password=OTHER))


def wrong(proof: otp_pb2.OtpProof) -> otp_pb2.OtpProof:
    """Another code."""
    return otp_pb2.OtpProof(otp_id=proof.otp_id, code=f"{(int(proof.code) + 1) % 1_000_000:06d}")


async def confirmed(people: People, email: str, **fields: Any) -> auth_pb2.RegisterMemberResponse:
    """Registers a member by password, whose e-mail address is confirmed then."""
    made = await people.register(email=email, **fields)
    assert not made.member.email_confirmed
    proof = await people.prove(email, CONFIRM_EMAIL)
    assert (await people.confirm_email(made.token.access_token, proof)).email_confirmed
    return made


@pytest.mark.covers("I2 AuthService.ResetPassword")
async def test_a_forgotten_password_is_set_anew_by_e_mail_and_all_logins_end(people: People) -> None:
    email = new_email()
    made = await confirmed(people, email)
    assert made.member.phone == ""
    await reset(people, await people.prove(email.upper(), RESET))

    async def out() -> None:
        assert await people.answers(made.token.access_token) == {"SESSION_ENDED"}

    await eventually(out, seconds=1.0)
    assert await reason(people.refresh(made.token.refresh_token)) == "SESSION_ENDED"
    assert await reason(people.log_in(email, PASSWORD)) == "CREDENTIALS_NOT_VALID"
    login = await people.log_in(email, OTHER)
    assert (await people.me(login.access_token)).id == made.member.id


@pytest.mark.covers("I1 AuthService.LogIn")
async def test_a_member_logs_in_by_e_mail_once_with_each_code(people: People) -> None:
    email = new_email()
    made = await confirmed(people, email.title())
    proof = await people.prove(email, LOG_IN)
    results = tally(await outcomes(log_in(people, proof) for _ in range(4)))
    assert results[DONE] == 1
    assert set(results) <= {DONE} | TRIES
    token = (await log_in(people, await people.prove(email, LOG_IN))).token
    assert (await people.me(token.access_token)).id == made.member.id


async def test_who_has_a_number_and_an_address_gets_in_by_either_and_nobody_elses(people: People) -> None:
    phone, email = new_phone(), new_email()
    made = await confirmed(people, email, otp=await people.prove(phone, REGISTER))
    await confirmed(people, new_email())
    for way in (phone, email):
        token = (await log_in(people, await people.prove(way, LOG_IN))).token
        assert (await people.me(token.access_token)).id == made.member.id


@pytest.mark.covers("I1 AuthService.LogIn")
async def test_it_is_of_no_use_for_another_purpose_or_for_a_number(people: People) -> None:
    email = new_email()
    made = await confirmed(people, email)
    entry, renewal = await people.prove(email, LOG_IN), await people.prove(email, RESET)
    other = await people.prove(email, CONFIRM_EMAIL)
    for proof in (entry, renewal):
        assert await reason(people.confirm_email(made.token.access_token, proof)) == "OTP_NOT_VALID"
    for proof in (entry, other):
        assert await reason(reset(people, proof)) == "OTP_NOT_VALID"
    for proof in (renewal, other):
        assert await reason(log_in(people, proof)) == "OTP_NOT_VALID"
    for proof in (entry, renewal, other):
        assert await reason(people.register(otp=proof)) == "OTP_NOT_VALID"
        assert await reason(people.change_phone(made.token.access_token, proof)) == "OTP_NOT_VALID"
    assert await outcome(log_in(people, entry)) == DONE


@pytest.mark.covers("I1 AuthService.SendOtp")
async def test_only_numbers_take_the_place_of_a_number(people: People, platform: Platform) -> None:
    request = auth_pb2.SendOtpRequest(email=new_email(), purpose=CHANGE_PHONE)
    status, _ = await refused_status(people.auth.SendOtp(request))
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert "email" in status.message
    assert "purpose" in status.message
    name = auth_pb2.OtpPurpose.Name(CHANGE_PHONE)
    to, sender = Recipient(email=new_email()), MessageSender.sandbox()
    with pytest.raises(UnforeseenError, match="ck_otps_purposes_of_email"):
        await platform.databases["identity"].run(send_otp, platform.vault, sender, recipient=to, purpose=name)


@pytest.mark.covers("I1 AuthService.SendOtp")
@pytest.mark.parametrize("given", [{}, {"phone": "+14155550100", "email": "ada@example.com"}])
async def test_a_number_or_an_address_is_wanted_and_not_both(people: People, given: dict[str, str]) -> None:
    request = auth_pb2.SendOtpRequest(**given, purpose=LOG_IN)
    status, _ = await refused_status(people.auth.SendOtp(request))
    assert "exactly one of phone and email is required" in status.message
    assert await reason(people.auth.SendOtp(request)) == "VALIDATION_FAILED"


@pytest.mark.covers("I1 AuthService.SendOtp")
@pytest.mark.parametrize(
    "email",
    [
        "ada",
        "ada@",
        "@example.com",
        "ada@example.com, eve@example.com",
        "Ada <ada@example.com>",
        "ada@example.com\r\nBcc: eve@example.com",
        "ada@ex ample.com",
        "ad\u00e4@example.com",
        "ada@" + "a" * 63 + "." + "b" * 190,
    ],
)
async def test_what_is_no_address_gets_none(people: People, email: str) -> None:
    request = auth_pb2.SendOtpRequest(email=email, purpose=LOG_IN)
    status, _ = await refused_status(people.auth.SendOtp(request))
    assert "email: " in status.message
    assert await reason(people.auth.SendOtp(request)) == "VALIDATION_FAILED"


@pytest.mark.parametrize("purpose", [LOG_IN, RESET])
async def test_an_unknown_address_is_told_only_to_its_owner(
    people: People, purpose: auth_pb2.OtpPurpose.ValueType
) -> None:
    proof = await people.prove(new_email(), purpose)
    use = log_in if purpose == LOG_IN else reset
    assert await reason(use(people, wrong(proof))) == "OTP_NOT_VALID"
    name, code, _ = await refusal(use(people, proof))
    assert (name, code) == ("ACCOUNT_NOT_FOUND", grpc.StatusCode.NOT_FOUND)


@pytest.mark.covers("I1 AuthService.LogIn")
async def test_who_is_suspended_or_gone_stays_out(people: People, platform: Platform) -> None:
    email, manager = new_email(), await platform.token("manager")
    made = await confirmed(people, email)
    await people.suspend(made.member.id, manager)
    await reset(people, await people.prove(email, RESET))
    assert await reason(log_in(people, await people.prove(email, LOG_IN))) == "ACCOUNT_SUSPENDED"
    await people.restore(made.member.id, manager)
    login = await people.log_in(email, OTHER)
    sent = await people.prove(email, LOG_IN)
    await people.close(login.access_token)
    assert await people.rows("identity", "SELECT id FROM otps WHERE email = %(email)s", email=email) == []
    assert await reason(log_in(people, sent)) == "OTP_NOT_VALID"
    assert await reason(log_in(people, await people.prove(email, LOG_IN))) == "ACCOUNT_NOT_FOUND"


@pytest.mark.covers("I2 AuthService.ResetPassword")
async def test_an_address_that_was_given_up_lets_nobody_in(people: People) -> None:
    email = new_email()
    made = await confirmed(people, email)
    sent = await people.prove(email, LOG_IN)
    await people.set_email(made.token.access_token, new_email())
    assert await reason(log_in(people, sent)) == "OTP_NOT_VALID"
    assert await reason(log_in(people, await people.prove(email, LOG_IN))) == "ACCOUNT_NOT_FOUND"


@pytest.mark.covers("I1 AuthService.LogIn")
async def test_five_wrong_tries_kill_a_code_even_at_once(people: People) -> None:
    email = new_email()
    await confirmed(people, email)
    proof = await people.prove(email, LOG_IN)
    results = tally(await outcomes(log_in(people, wrong(proof)) for _ in range(20)))
    assert results == {"OTP_NOT_VALID": 4, "OTP_TRIES_EXHAUSTED": 16}
    assert await reason(log_in(people, proof)) == "OTP_TRIES_EXHAUSTED"


@pytest.mark.covers("I1 AuthService.SendOtp")
async def test_an_address_in_any_letter_case_may_ask_for_five_codes(people: People) -> None:
    email, phone = new_email(), new_phone()

    def ask(to: str) -> Awaitable[auth_pb2.SendOtpResponse]:
        return people.auth.SendOtp(auth_pb2.SendOtpRequest(**recipient(to), purpose=LOG_IN))

    spelled = [email, email.upper(), email.title()]
    asked = await asyncio.gather(*(outcome(ask(spelled[n % 3])) for n in range(12)))
    assert tally(asked) == {DONE: 5, "TOO_MANY_REQUESTS": 7}
    name, code, metadata = await refusal(ask(email))
    assert (name, code) == ("TOO_MANY_REQUESTS", grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert metadata["limit"] == "otp_sends_per_email"
    for other in (new_email(), phone):
        assert await outcome(ask(other)) == DONE


async def test_a_reset_that_meets_the_closing_leaves_no_way_in(people: People) -> None:
    for _ in range(5):
        email = new_email()
        made = await confirmed(people, email)
        proof = await people.prove(email, RESET)
        fresh = await people.fresh_proof(made.token.access_token)
        request = member_pb2.CloseMeRequest(confirm=True, proof=fresh)
        closing = people.members.CloseMe(request, metadata=bearer(made.token.access_token))
        results = await outcomes([reset(people, proof), closing])
        assert results[0] in {DONE, "OTP_NOT_VALID", "ACCOUNT_NOT_FOUND"}
        if results[1] == DONE:
            assert await reason(people.log_in(email, OTHER)) == "CREDENTIALS_NOT_VALID"
        else:
            assert results[0] == DONE
            assert results[1] in {"SESSION_ENDED", "CURRENT_PASSWORD_NOT_VALID"}
