"""One-time passwords: what they are good for, whose they are, and which numbers get one."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.e2e.people import (
    PASSWORD,
    WELCOME,
    Login,
    answers,
    assert_refused,
    log_in,
    log_in_with,
    refresh_refused,
    register,
)
from tests.platform import Member, Otp, Platform, at_once, new_phone, refusal, unique

SANDBOX = "/v1/sandbox/otps"
PURPOSES = {
    "REGISTER": ("/v1/members", {"full_name": "Ada"}),
    "LOG_IN": ("/v1/sessions", {}),
    "RESET_PASSWORD": ("/v1/password:reset", {"new_password": "a zebra counts backwards"}),
    "CHANGE_PHONE": ("/v1/members/me:changePhone", {}),
}


OF_EMAIL = ("LOG_IN", "RESET_PASSWORD")
CONFIRM = "/v1/members/me:confirmEmail"
OTHER = "an umbrella swims to Norway"


async def _by_email(live: Platform, email: str, purpose: str) -> dict[str, str]:
    """Returns the proof of an e-mail address."""
    asked = {"email": email, "purpose": f"OTP_PURPOSE_{purpose}"}
    sent = await live.ok("POST", "/v1/otps", asked)
    read = await live.ok("GET", f"{SANDBOX}/{sent['otp_id']}", token=live.admin)
    return {"otp_id": sent["otp_id"], "code": read["code"]}


async def _confirmed(live: Platform, email: str) -> tuple[dict[str, Any], Login]:
    """Returns a new member whose e-mail address is confirmed, and its login."""
    _, login = await register(live, email=email)
    proof = await _by_email(live, email, "CONFIRM_EMAIL")
    told = await live.ok("POST", CONFIRM, {"otp": proof}, token=login.access)
    assert told["member"]["email_confirmed"]
    return told["member"], login


async def _refused(live: Platform, purpose: str, proof: dict[str, str], token: str) -> str:
    """Returns why a one-time password is no proof where one of this purpose is wanted."""
    path, body = PURPOSES[purpose]
    refused = await live.refused("POST", path, {"otp": proof} | body, token=token)
    assert refused.status == 400
    return refused.reason


@pytest.mark.covers("I1 AuthService.SendOtp")
async def test_it_has_six_digits_lives_five_minutes_and_only_admins_read_it(
    live: Platform, member: Member
) -> None:
    asked = {"phone": new_phone(), "purpose": "OTP_PURPOSE_REGISTER"}
    sent = await live.ok("POST", "/v1/otps", asked)
    assert sent.keys() == {"otp_id", "expires_at", "next_send_at"}
    left = datetime.fromisoformat(sent["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=4, seconds=50) < left <= timedelta(minutes=5)
    path = f"{SANDBOX}/{sent['otp_id']}"
    assert (await live.refused("GET", path)).reason == "TOKEN_MISSING"
    assert (await live.refused("GET", path, token=member.token)).reason == "ROLE_NOT_ALLOWED"
    code = (await live.ok("GET", path, token=live.admin))["code"]
    assert len(code) == 6
    assert code.isdecimal()


@pytest.mark.parametrize("purpose", PURPOSES)
async def test_it_is_of_no_use_for_anything_else(live: Platform, member: Member, purpose: str) -> None:
    otp = await live.otp(member.phone, purpose)
    for other in PURPOSES.keys() - {purpose}:
        assert await _refused(live, other, otp.proof, member.token) == "OTP_NOT_VALID"


@pytest.mark.parametrize("purpose", PURPOSES)
async def test_an_expired_one_says_so(live: Platform, member: Member, purpose: str) -> None:
    otp = await live.otp(member.phone, purpose)
    with psycopg.connect(live.databases["identity"]) as connection:
        aged = "UPDATE otps SET expires_at = now() - interval '1 second' WHERE id = %s"
        assert connection.execute(aged, (otp.proof["otp_id"],)).rowcount == 1
    assert await _refused(live, purpose, otp.proof, member.token) == "OTP_EXPIRED"


async def test_a_strangers_code_is_none(live: Platform, member: Member) -> None:
    mine, theirs = await live.otp(member.phone, "LOG_IN"), await live.otp(purpose="LOG_IN")
    crossed = mine.proof | {"code": theirs.proof["code"]}
    if mine.proof["code"] != theirs.proof["code"]:
        assert await _refused(live, "LOG_IN", crossed, "") == "OTP_NOT_VALID"
    unknown = mine.proof | {"otp_id": "01990000-0000-7000-8000-000000000000"}
    assert await _refused(live, "LOG_IN", unknown, "") == "OTP_NOT_VALID"
    await live.ok("POST", "/v1/sessions", {"otp": mine.proof})


@pytest.mark.covers("I1 AuthService.LogIn")
async def test_used_twice_at_once_it_serves_once(live: Platform) -> None:
    otp = await live.otp()
    body = {"otp": otp.proof, "full_name": "Ada"}
    got = await at_once([live.call("POST", "/v1/members", body) for _ in range(5)])
    told = Counter("made" if one.status_code == 200 else refusal(one).reason for one in got)
    assert told["made"] == 1
    assert told.keys() <= {"made", "OTP_NOT_VALID", "PHONE_TAKEN"}


@pytest.mark.covers("I1 AuthService.SendOtp")
@pytest.mark.parametrize("purpose", PURPOSES)
async def test_a_known_and_an_unknown_number_look_alike(live: Platform, member: Member, purpose: str) -> None:
    asked = {"purpose": f"OTP_PURPOSE_{purpose}"}
    told = [
        await live.call("POST", "/v1/otps", asked | {"phone": phone}) for phone in (member.phone, new_phone())
    ]
    assert [one.status_code for one in told] == [200, 200]
    shapes = [{name: len(value) for name, value in one.json().items()} for one in told]
    assert shapes[0]["otp_id"] == shapes[1]["otp_id"] == 36
    assert shapes[0].keys() == shapes[1].keys()
    assert told[0].headers.keys() == told[1].headers.keys()


@pytest.mark.parametrize(
    "phone",
    [
        pytest.param("not a number", id="letters"),
        pytest.param("+1 415 0", id="short"),
        pytest.param("+14155550100999", id="long"),
        pytest.param("+1415555010x", id="letter-inside"),
        pytest.param("07911 123456", id="british-without-country"),
        pytest.param("+44 4155550100", id="no-such-number-in-that-country"),
        pytest.param("+999 123456789", id="no-such-country"),
        pytest.param("+44 20 7946 0958", id="landline"),
        pytest.param("+1 900 555 0123", id="premium"),
        pytest.param("+14155550100 ext. 5", id="extension"),
    ],
)
async def test_what_is_no_number_gets_none(live: Platform, phone: str) -> None:
    refused = await live.refused("POST", "/v1/otps", {"phone": phone, "purpose": "OTP_PURPOSE_REGISTER"})
    assert (refused.status, refused.reason) == (400, "VALIDATION_FAILED")
    assert "phone" in refused.message


@pytest.mark.parametrize("national", ["415{0}", "(415) {0}", "415.{0}", "1-415-{0}"])
async def test_numbers_of_the_default_region_need_no_country(live: Platform, national: str) -> None:
    phone = new_phone()
    otp = await live.otp(national.format(phone[5:]))
    assert (await live.member(Otp(phone, otp.proof))).phone == phone
    taken = await live.otp(phone)
    refused = await live.refused("POST", "/v1/members", {"otp": taken.proof, "full_name": "Ada"})
    assert refused.reason == "PHONE_TAKEN"


@pytest.mark.covers("I1 AuthService.SendOtp")
async def test_a_number_of_another_country_is_kept_with_its_country(live: Platform) -> None:
    otp = await live.otp(f"+44 7400 {new_phone()[-6:]}")
    made = await live.ok("POST", "/v1/members", {"otp": otp.proof, "full_name": "Ada"})
    assert made["member"]["phone"] == otp.phone.replace(" ", "")


@pytest.mark.covers("I2 AuthService.ResetPassword")
async def test_a_forgotten_password_is_set_anew_by_e_mail_and_all_logins_end(live: Platform) -> None:
    email = f"Ada-{unique()}@Example.com"
    _, login = await _confirmed(live, email)
    reset = {"otp": await _by_email(live, email.upper(), "RESET_PASSWORD"), "new_password": OTHER}
    await live.ok("POST", "/v1/password:reset", reset)
    since = time.monotonic()
    used = await live.refused("POST", "/v1/password:reset", reset)
    assert (used.status, used.reason) == (400, "OTP_NOT_VALID")
    await assert_refused(live, login.access, "SESSION_ENDED", since)
    assert await refresh_refused(live, login) == "SESSION_ENDED"
    old = {"password": {"user_name": email, "password": PASSWORD}}
    assert (await live.refused("POST", "/v1/sessions", old)).reason == "CREDENTIALS_NOT_VALID"
    assert await answers(live, (await log_in(live, email, OTHER)).access) == WELCOME


@pytest.mark.covers("I1 AuthService.LogIn")
async def test_a_member_logs_in_by_a_code_sent_by_e_mail(live: Platform) -> None:
    email = f"{unique()}@example.com"
    member, _ = await _confirmed(live, email)
    login = await log_in_with(live, await _by_email(live, email, "LOG_IN"))
    assert (await live.ok("GET", "/v1/members/me", token=login.access))["member"]["id"] == member["id"]


@pytest.mark.parametrize("purpose", OF_EMAIL)
async def test_one_by_e_mail_is_of_no_use_for_anything_else(
    live: Platform, member: Member, purpose: str
) -> None:
    email = f"{unique()}@example.com"
    _, login = await _confirmed(live, email)
    proof = await _by_email(live, email, purpose)
    refused = await live.refused("POST", CONFIRM, {"otp": proof}, token=login.access)
    assert (refused.status, refused.reason) == (400, "OTP_NOT_VALID")
    for other in PURPOSES.keys() - {purpose}:
        assert await _refused(live, other, proof, member.token) == "OTP_NOT_VALID"


@pytest.mark.covers("I1 AuthService.SendOtp")
@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, "exactly one of phone and email"),
        ({"phone": "+14155550100", "email": "ada@example.com"}, "exactly one of phone and email"),
        ({"email": "ada"}, "email: must be a valid email address"),
        ({"email": "ada@example.com, eve@example.com"}, "email: must be a valid email address"),
        ({"email": "a" * 250 + "@example.com"}, "email: "),
        (
            {"email": "ada@example.com", "purpose": "OTP_PURPOSE_CHANGE_PHONE"},
            "with email, purpose must not",
        ),
        (
            {"phone": "+14155550100", "purpose": "OTP_PURPOSE_CONFIRM_EMAIL"},
            "with phone, purpose must not be",
        ),
    ],
)
async def test_a_recipient_that_can_not_be_is_refused(
    live: Platform, asked: dict[str, str], told: str
) -> None:
    refused = await live.refused("POST", "/v1/otps", {"purpose": "OTP_PURPOSE_LOG_IN"} | asked)
    assert (refused.status, refused.reason) == (400, "VALIDATION_FAILED")
    assert told in refused.message


@pytest.mark.covers("I1 AuthService.SendOtp")
@pytest.mark.parametrize("purpose", OF_EMAIL)
async def test_a_known_and_an_unknown_address_look_alike(live: Platform, purpose: str) -> None:
    known, unknown = f"{unique()}@example.com", f"{unique()}@example.com"
    await _confirmed(live, known)
    asked = {"purpose": f"OTP_PURPOSE_{purpose}"}
    told = [await live.call("POST", "/v1/otps", asked | {"email": email}) for email in (known, unknown)]
    assert [one.status_code for one in told] == [200, 200]
    assert told[0].json().keys() == told[1].json().keys()
    assert told[0].headers.keys() == told[1].headers.keys()
    path, body = PURPOSES[purpose]
    refused = await live.refused("POST", path, {"otp": await _by_email(live, unknown, purpose)} | body)
    assert (refused.status, refused.reason) == (404, "ACCOUNT_NOT_FOUND")


@pytest.mark.covers("I1 AuthService.LogIn", "I8 MemberService.ConfirmMyEmail")
async def test_an_address_lets_nobody_in_before_it_is_confirmed(live: Platform) -> None:
    email = f"{unique()}@example.com"
    member, login = await register(live, email=email)
    assert member["email_confirmed"] is False
    for purpose in OF_EMAIL:
        path, body = PURPOSES[purpose]
        refused = await live.refused("POST", path, {"otp": await _by_email(live, email, purpose)} | body)
        assert (refused.status, refused.reason) == (404, "ACCOUNT_NOT_FOUND")
    asked = {"otp": await _by_email(live, email, "CONFIRM_EMAIL")}
    told = await live.ok("POST", CONFIRM, asked, token=login.access)
    assert told["member"] == member | {"email_confirmed": True}
    assert await live.ok("GET", "/v1/members/me", token=login.access) == told
    read = (await live.ok("GET", f"/v1/members/{member['id']}", token=live.admin))["member"]
    assert read == told["member"] | {"etag": read["etag"]}
    used = await live.refused("POST", CONFIRM, asked, token=login.access)
    assert (used.status, used.reason) == (400, "OTP_NOT_VALID")
    await log_in_with(live, await _by_email(live, email, "LOG_IN"))


@pytest.mark.covers("I8 MemberService.ConfirmMyEmail", "I8 MemberService.UpdateMe")
async def test_another_address_takes_the_place_of_the_old_one_when_it_is_confirmed(live: Platform) -> None:
    old, new = f"{unique()}@example.com", f"{unique()}@example.com"
    member, login = await _confirmed(live, old)
    entry, proof = await _by_email(live, old, "LOG_IN"), await _by_email(live, old, "CONFIRM_EMAIL")
    wanted = {"email": new, "proof": {"password": PASSWORD}}
    changed = await live.ok("PATCH", "/v1/members/me", wanted, token=login.access)
    assert changed["member"] == member | {"pending_email": new}, "the present one stays until then"
    refused = await live.refused("POST", "/v1/sessions", {"otp": await _by_email(live, new, "LOG_IN")})
    assert (refused.status, refused.reason) == (404, "ACCOUNT_NOT_FOUND")
    proven = {"otp": await _by_email(live, new, "CONFIRM_EMAIL")}
    changed = await live.ok("POST", CONFIRM, proven, token=login.access)
    assert changed["member"] == member | {"email": new}
    assert await _refused(live, "LOG_IN", entry, "") == "OTP_NOT_VALID"
    for otp in (proof, await _by_email(live, old, "CONFIRM_EMAIL")):
        refused = await live.refused("POST", CONFIRM, {"otp": otp}, token=login.access)
        assert (refused.status, refused.reason) == (400, "OTP_NOT_VALID")
    refused = await live.refused("POST", "/v1/sessions", {"otp": await _by_email(live, old, "LOG_IN")})
    assert (refused.status, refused.reason) == (404, "ACCOUNT_NOT_FOUND")
    await log_in_with(live, await _by_email(live, new, "LOG_IN"))


@pytest.mark.covers("I2 AuthService.ResetPassword", "I8 MemberService.ConfirmMyEmail")
async def test_who_registers_a_strangers_address_gains_nothing(live: Platform, member: Member) -> None:
    email = f"{unique()}@example.com"
    _, thief = await register(live, email=email, otp=(await live.otp()).proof)
    proof = await _by_email(live, email, "CONFIRM_EMAIL")
    for token, status, why in ((member.token, 400, "OTP_NOT_VALID"), (live.admin, 403, "ROLE_NOT_ALLOWED")):
        refused = await live.refused("POST", CONFIRM, {"otp": proof}, token=token)
        assert (refused.status, refused.reason) == (status, why)
    reset = {"otp": await _by_email(live, email, "RESET_PASSWORD"), "new_password": OTHER}
    assert (await live.refused("POST", "/v1/password:reset", reset)).reason == "ACCOUNT_NOT_FOUND"
    missing = await live.refused("POST", CONFIRM, {}, token=thief.access)
    assert (missing.status, missing.fields) == (400, ["otp"])


async def test_an_address_may_ask_for_five(live: Platform) -> None:
    email = f"{unique()}@example.com"
    asked = {"email": email, "purpose": "OTP_PURPOSE_LOG_IN"}
    for _ in range(5):
        await live.ok("POST", "/v1/otps", asked)
    refused = await live.refused("POST", "/v1/otps", asked | {"email": email.upper()})
    assert (refused.status, refused.reason) == (429, "TOO_MANY_REQUESTS")
    assert refused.metadata["limit"] == "otp_sends_per_email"


@pytest.mark.covers("I1 AuthService.LogIn")
async def test_guesses_at_once_do_not_get_more_tries(live: Platform) -> None:
    email = f"{unique()}@example.com"
    await _confirmed(live, email)
    proof = await _by_email(live, email, "LOG_IN")
    wrong = proof | {"code": f"{(int(proof['code']) + 1) % 10**6:06d}"}
    got = await at_once([live.refused("POST", "/v1/sessions", {"otp": wrong}) for _ in range(12)])
    assert Counter(one.reason for one in got) == {"OTP_NOT_VALID": 4, "OTP_TRIES_EXHAUSTED": 8}
    dead = await live.refused("POST", "/v1/sessions", {"otp": proof})
    assert (dead.status, dead.reason) == (429, "OTP_TRIES_EXHAUSTED")


@pytest.mark.covers("I1 MemberAdminService.ListOtpDeliveries")
async def test_staff_see_those_that_were_not_sent_in_time(live: Platform, member: Member) -> None:
    path, email, sent = "/v1/otp-deliveries", f"{unique()}@example.com", await live.otp()
    by_email = (await _by_email(live, email, "LOG_IN"))["otp_id"]
    late = [
        {"otp_id": by_email, "recipient": f"{email[0]}…@example.com"},
        {"otp_id": sent.proof["otp_id"], "recipient": f"…{sent.phone[-4:]}"},
    ]
    with psycopg.connect(live.databases["identity"]) as connection:
        for one in late:
            connection.execute("UPDATE otps SET expires_at = now() WHERE id = %s", (one["otp_id"],))
            connection.execute(
                "INSERT INTO otp_deliveries (otp_id, tries, last_error, tried_at, failed_at)"
                " VALUES (%s, 9, 'the provider answered 503', now(), now())",
                (one["otp_id"],),
            )
    for state in ("", "&state=OTP_DELIVERY_STATE_FAILED"):
        listed = await live.ok("GET", f"{path}?page_size=2{state}", token=live.admin)
        assert [{name: one[name] for name in late[0]} for one in listed["deliveries"]] == late
        for one in listed["deliveries"]:
            assert one["state"] == "OTP_DELIVERY_STATE_FAILED"
            assert (one["tries"], one["last_error"]) == (9, "the provider answered 503")
            assert {"asked_at", "tried_at", "expires_at"} <= one.keys()
        assert email not in str(listed)
    waiting = await live.ok("GET", f"{path}?state=OTP_DELIVERY_STATE_WAITING", token=live.admin)
    assert waiting["deliveries"] == []
    assert (await live.refused("GET", f"{path}?state=9", token=live.admin)).reason == "VALIDATION_FAILED"
    assert (await live.refused("GET", path, token=member.token)).reason == "ROLE_NOT_ALLOWED"
