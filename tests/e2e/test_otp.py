"""One-time passwords: what they are good for, whose they are, and which numbers get one."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from tests.platform import Member, Otp, Platform, at_once, new_phone, refusal

SANDBOX = "/v1/sandbox/otps"
PURPOSES = {
    "REGISTER": ("/v1/members", {"full_name": "Ada"}),
    "LOG_IN": ("/v1/sessions", {}),
    "RESET_PASSWORD": ("/v1/password:reset", {"new_password": "a zebra counts backwards"}),
    "CHANGE_PHONE": ("/v1/members/me:changePhone", {}),
}


async def _refused(live: Platform, purpose: str, proof: dict[str, str], token: str) -> str:
    """Why a one-time password is no proof where one of this purpose is wanted."""
    path, body = PURPOSES[purpose]
    refused = await live.refused("POST", path, {"otp": proof} | body, token=token)
    assert refused.status == 401
    return refused.reason


async def test_it_has_six_digits_lives_five_minutes_and_only_admins_read_it(
    live: Platform, member: Member
) -> None:
    asked = {"phone": new_phone(), "purpose": "OTP_PURPOSE_REGISTER"}
    sent = await live.ok("POST", "/v1/otp", asked)
    assert sent.keys() == {"otp_id", "expires_at"}
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


async def test_used_twice_at_once_it_serves_once(live: Platform) -> None:
    otp = await live.otp()
    body = {"otp": otp.proof, "full_name": "Ada"}
    got = await at_once([live.call("POST", "/v1/members", body) for _ in range(5)])
    told = Counter("made" if one.status_code == 200 else refusal(one).reason for one in got)
    assert told["made"] == 1
    assert told.keys() <= {"made", "OTP_NOT_VALID", "PHONE_TAKEN"}


@pytest.mark.parametrize("purpose", PURPOSES)
async def test_a_known_and_an_unknown_number_look_alike(live: Platform, member: Member, purpose: str) -> None:
    asked = {"purpose": f"OTP_PURPOSE_{purpose}"}
    told = [
        await live.call("POST", "/v1/otp", asked | {"phone": phone}) for phone in (member.phone, new_phone())
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
    refused = await live.refused("POST", "/v1/otp", {"phone": phone, "purpose": "OTP_PURPOSE_REGISTER"})
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


async def test_a_number_of_another_country_is_kept_with_its_country(live: Platform) -> None:
    otp = await live.otp(f"+44 7400 {new_phone()[-6:]}")
    made = await live.ok("POST", "/v1/members", {"otp": otp.proof, "full_name": "Ada"})
    assert made["member"]["phone"] == otp.phone.replace(" ", "")
