"""Registering and logging in with user name, e-mail or phone and a password; changing the password."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any
from urllib.parse import quote

import pytest

from tests.e2e.people import (
    PASSWORD,
    WELCOME,
    Login,
    answers,
    assert_refused,
    log_in,
    log_in_by_phone,
    made_otps,
    new_name,
    refresh_refused,
    register,
)
from tests.platform import Member, Platform, at_once, new_phone, refusal, unique

OTHER = "an umbrella swims to Norway"
DAY = 86_400
CROWD = 50


@pytest.mark.covers("I2 AuthService.RegisterMember")
async def test_one_account_is_entered_by_user_name_e_mail_or_phone(live: Platform) -> None:
    name, email, otp = f"Ada.{unique()}", f"Ada-{unique()}@Example.com", await live.otp()
    whole = {"user_name": name, "email": email, "otp": otp.proof, "birthday": "1815-12-10"}
    refused = await live.refused("POST", "/v1/members", whole | {"full_name": "Ada"})
    assert (refused.reason, refused.fields) == ("VALIDATION_FAILED", ["birthday"])
    whole |= {"birthday": "1985-12-10"}
    member, first = await register(live, full_name=" Ada Lovelace ", **whole)
    shown = {
        "full_name": "Ada Lovelace",
        "user_name": name.lower(),
        "email": email.lower(),
        "phone": otp.phone,
        "birthday": "1985-12-10",
        "has_password": True,
        "state": "MEMBER_STATE_ACTIVE",
    }
    assert member.items() >= shown.items()
    assert "consent" not in member, "nobody has asked yet"
    assert (await live.ok("GET", "/v1/members/me", token=first.access))["member"] == member
    national = f"({otp.phone[2:5]}) {otp.phone[5:8]}-{otp.phone[8:]}"
    for entry in (name.upper(), email.upper(), otp.phone, national):
        login = await log_in(live, entry)
        me = await live.ok("GET", "/v1/members/me", token=login.access)
        assert me["member"]["id"] == member["id"]
    assert await answers(live, (await log_in_by_phone(live, otp.phone)).access) == WELCOME


async def test_a_login_says_how_long_it_lasts(live: Platform) -> None:
    name = new_name()
    await register(live, user_name=name)
    credentials = {"password": {"user_name": name, "password": PASSWORD}}
    token = (await live.ok("POST", "/v1/sessions", credentials))["token"]
    assert (token["token_type"], token["expires_in"]) == ("Bearer", DAY)
    assert token["refresh_expires_in"] in range(90 * DAY - 60, 90 * DAY + 1)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"user_name": "ab"}, "user_name"),
        ({"user_name": "1abc"}, "user_name"),
        ({"user_name": "a@b.example"}, "user_name"),
        ({"email": "nobody"}, "email"),
        ({"email": "a" * 250 + "@example.com"}, "email"),
        ({"user_name": "tom-1", "birthday": "1985-02-30"}, "birthday"),
        ({"user_name": "tom-1", "birthday": "2999-01-01"}, "birthday"),
        ({"user_name": "tom-1", "birthday": "10.12.1985"}, "birthday"),
        ({"user_name": "tom-1", "full_name": "\u00a0"}, "full_name"),
        ({"user_name": "tom-1", "password": ""}, "otp"),
    ],
)
async def test_a_malformed_registration_is_refused_with_the_field(
    live: Platform, fields: dict[str, str], named: str
) -> None:
    body = {"full_name": "Tom", "password": PASSWORD} | fields
    refused = await live.refused("POST", "/v1/members", body)
    assert (refused.status, refused.reason) == (400, "VALIDATION_FAILED")
    assert named in refused.message


@pytest.mark.parametrize(
    ("password", "rule"), [("Sh0rt!!", "length"), ("password123", "common"), ("qwertyuiop", "common")]
)
async def test_a_weak_password_is_refused_wherever_it_is_chosen(
    live: Platform, password: str, rule: str
) -> None:
    _, login = await register(live, otp=(otp := await live.otp()).proof)
    reset = await live.otp(otp.phone, "RESET_PASSWORD")
    new = {"user_name": new_name(), "full_name": "Tom", "password": password}
    change = {"current_password": PASSWORD, "new_password": password}
    for path, body, token in (
        ("/v1/members", new, ""),
        ("/v1/password:change", change, login.access),
        ("/v1/password:reset", {"otp": reset.proof, "new_password": password}, ""),
        ("/v1/staff", new | {"role": "ROLE_CASHIER"}, live.admin),
    ):
        refused = await live.refused("POST", path, body, token=token)
        assert (refused.status, refused.reason) == (400, "PASSWORD_TOO_WEAK"), path
        assert refused.metadata == {"rule": rule}
    assert await answers(live, login.access) == WELCOME


async def test_a_name_that_is_taken_is_refused_with_its_own_reason_whatever_the_letter_case(
    live: Platform,
) -> None:
    name, email, otp = new_name(), f"{unique()}@example.com", await live.otp()
    await register(live, user_name=name, email=email, otp=otp.proof)
    again = await live.otp(otp.phone)
    staff_name = live.stack.endpoints.admin_user_name
    for fields, reason in (
        ({"user_name": name.upper(), "password": PASSWORD}, "USER_NAME_TAKEN"),
        ({"user_name": staff_name, "password": PASSWORD}, "USER_NAME_TAKEN"),
        ({"email": email.upper(), "password": PASSWORD}, "EMAIL_TAKEN"),
        ({"otp": again.proof}, "PHONE_TAKEN"),
    ):
        refused = await live.refused("POST", "/v1/members", {"full_name": "Tom", **fields})
        assert (refused.status, refused.reason) == (409, reason)
        assert name not in str(refused.body)


@pytest.mark.covers("I2 AuthService.RegisterMember")
@pytest.mark.parametrize("what", ["user_name", "email", "phone"])
async def test_of_fifty_who_want_the_same_name_at_once_one_gets_it(live: Platform, what: str) -> None:
    wanted = {"user_name": new_name(), "email": f"{unique()}@example.com", "phone": new_phone()}[what]
    phones = [wanted if what == "phone" else new_phone() for _ in range(CROWD)]
    bodies: list[dict[str, Any]] = [
        {"full_name": f"Tom {nth}", "otp": otp.proof} | ({} if what == "phone" else {what: wanted})
        for nth, otp in enumerate(await made_otps(live.stack, phones, "REGISTER"))
    ]
    got = await at_once([live.call("POST", "/v1/members", body) for body in bodies])
    told = Counter("made" if one.status_code == 200 else refusal(one).reason for one in got)
    assert told == {"made": 1, f"{what.upper()}_TAKEN": CROWD - 1}
    found = await live.ok("GET", f"/v1/members?query={quote(wanted)}", token=live.admin)
    (made,) = [one.json() for one in got if one.status_code == 200]
    assert [member["id"] for member in found["members"]] == [made["member"]["id"]]
    # Who lost may use the one-time password with another name.
    if what != "phone":
        loser = next(nth for nth, one in enumerate(got) if one.status_code != 200)
        await live.ok("POST", "/v1/members", bodies[loser] | {what: f"x-{wanted}"})


@pytest.mark.covers("I2 AuthService.ChangePassword")
async def test_a_changed_password_ends_all_logins(live: Platform) -> None:
    member, login = await register(live)
    change = {"current_password": "not this one", "new_password": OTHER}
    refused = await live.refused("POST", "/v1/password:change", change, token=login.access)
    assert (refused.status, refused.reason) == (400, "CURRENT_PASSWORD_NOT_VALID")
    assert await answers(live, login.access) == WELCOME
    change["current_password"] = PASSWORD
    await live.ok("POST", "/v1/password:change", change, token=login.access)
    await _old_password_is_over(live, member["user_name"], login, time.monotonic())


@pytest.mark.covers("I2 AuthService.ResetPassword")
async def test_a_password_that_is_reset_by_phone_ends_all_logins(live: Platform) -> None:
    otp, name = await live.otp(), new_name()
    _, login = await register(live, otp=otp.proof, user_name=name)
    proof = (await live.otp(otp.phone, "RESET_PASSWORD")).proof
    reset = {"otp": proof, "new_password": OTHER}
    await live.ok("POST", "/v1/password:reset", reset)
    since = time.monotonic()
    used = await live.refused("POST", "/v1/password:reset", reset)
    assert (used.status, used.reason) == (400, "OTP_NOT_VALID")
    await _old_password_is_over(live, name, login, since)


async def _old_password_is_over(live: Platform, name: str, login: Login, since: float) -> None:
    await assert_refused(live, login.access, "SESSION_ENDED", since)
    assert await refresh_refused(live, login) == "SESSION_ENDED"
    old = {"password": {"user_name": name, "password": PASSWORD}}
    assert (await live.refused("POST", "/v1/sessions", old)).reason == "CREDENTIALS_NOT_VALID"
    assert await answers(live, (await log_in(live, name, OTHER)).access) == WELCOME


async def test_who_came_by_phone_gets_a_password_by_phone(live: Platform, member: Member) -> None:
    change = {"current_password": PASSWORD, "new_password": OTHER}
    refused = await live.refused("POST", "/v1/password:change", change, token=member.token)
    assert (refused.status, refused.reason) == (400, "PASSWORD_NOT_SET")
    entry = {"password": {"user_name": member.phone, "password": PASSWORD}}
    assert (await live.refused("POST", "/v1/sessions", entry)).reason == "CREDENTIALS_NOT_VALID"
    reset = {"otp": (await live.otp(member.phone, "RESET_PASSWORD")).proof, "new_password": PASSWORD}
    await live.ok("POST", "/v1/password:reset", reset)
    assert await answers(live, (await log_in(live, member.phone)).access) == WELCOME
    assert await answers(live, (await log_in_by_phone(live, member.phone)).access) == WELCOME


@pytest.mark.parametrize(
    ("path", "purpose", "body"),
    [
        ("/v1/sessions", "LOG_IN", {}),
        ("/v1/password:reset", "RESET_PASSWORD", {"new_password": OTHER}),
    ],
)
async def test_an_unknown_number_is_told_only_to_who_owns_it(
    live: Platform, path: str, purpose: str, body: dict[str, str]
) -> None:
    otp = await live.otp(purpose=purpose)
    wrong = otp.proof | {"code": f"{(int(otp.proof['code']) + 1) % 10**6:06d}"}
    assert (await live.refused("POST", path, {"otp": wrong} | body)).reason == "OTP_NOT_VALID"
    refused = await live.refused("POST", path, {"otp": otp.proof} | body)
    assert (refused.status, refused.reason) == (404, "ACCOUNT_NOT_FOUND")
