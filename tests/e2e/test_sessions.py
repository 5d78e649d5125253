"""Logins: one active device, refreshing, stolen and lost tokens, logging out."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import jwt
import pytest

from tests.e2e.people import (
    EACH_SERVICE,
    SECOND,
    STAFF_PATHS,
    WELCOME,
    Login,
    answers,
    assert_refused,
    log_in,
    log_in_by_phone,
    log_in_with,
    made_otps,
    refresh,
    refresh_refused,
    refreshing,
    register,
    staff,
)
from tests.platform import Member, Platform, at_once, refusal, unique

LOGINS = 50
MOST_OF_STAFF = 10


@pytest.fixture
async def login(live: Platform) -> Login:
    """A member's login on a device that names itself."""
    return (await register(live, otp=(await live.otp()).proof, password="", device_id=unique()))[1]


# ---------------------------------------------------------------------------- one active device


@pytest.mark.covers("I4 AuthService.LogIn")
async def test_a_second_device_logs_the_first_out_everywhere_within_a_second(
    live: Platform, member: Member
) -> None:
    assert await answers(live, member.token) == WELCOME
    second = await log_in_by_phone(live, member.phone)
    since = time.monotonic()
    assert await answers(live, second.access) == WELCOME
    await assert_refused(live, member.token, "SESSION_REPLACED", since)
    assert await refresh_refused(live, Login(member.token, member.refresh_token)) == "SESSION_REPLACED"
    for path in EACH_SERVICE:
        refused = await live.refused("GET", path, token=member.token)
        assert (refused.status, refused.metadata) == (401, {})
    assert await answers(live, (await refresh(live, second)).access) == WELCOME


@pytest.mark.covers("I4 AuthService.LogIn")
async def test_of_fifty_logins_at_once_exactly_one_works(live: Platform, member: Member) -> None:
    otps = await made_otps(live.stack, [member.phone] * LOGINS, "LOG_IN")
    logins = await at_once([log_in_with(live, otp.proof, f"device-{n}") for n, otp in enumerate(otps)])
    await asyncio.sleep(SECOND)
    # One service each, in turn, for a member may ask a hundred times at once.
    asked = [EACH_SERVICE[n % len(EACH_SERVICE)] for n in range(LOGINS)]
    told = await at_once([answers(live, one.access, [path]) for one, path in zip(logins, asked, strict=True)])
    once = {"welcome": 1, "SESSION_REPLACED": LOGINS - 1}
    assert Counter(reason for reasons in told for reason in reasons) == once
    working = logins[told.index(WELCOME)]
    assert await answers(live, working.access) == WELCOME
    renewed = await at_once([live.call("POST", "/v1/sessions:refresh", refreshing(one)) for one in logins])
    outcomes = ["welcome" if one.status_code == 200 else refusal(one).reason for one in renewed]
    assert Counter(outcomes) == once
    assert outcomes.index("welcome") == logins.index(working)
    assert await answers(live, member.token, EACH_SERVICE[:1]) == {"SESSION_REPLACED"}


async def test_staff_may_have_ten_logins_and_the_eleventh_ends_the_oldest(live: Platform) -> None:
    manager = await staff(live, "MANAGER")
    more = [await log_in(live, manager.user_name) for _ in range(MOST_OF_STAFF - 1)]
    for token in (manager.token, more[-1].access):
        assert await answers(live, token, STAFF_PATHS) == WELCOME
    eleventh = await log_in(live, manager.user_name)
    await assert_refused(live, manager.token, "SESSION_ENDED", time.monotonic(), STAFF_PATHS)
    for login in (*more, eleventh):
        assert await answers(live, login.access, STAFF_PATHS) == WELCOME


# ---------------------------------------------------------------------------- refreshing


async def test_a_refresh_token_gives_new_tokens_of_the_same_login(live: Platform, login: Login) -> None:
    second = await refresh(live, login)
    third = await refresh(live, second)
    assert len({login.refresh, second.refresh, third.refresh}) == 3
    claims = [_claims(one) for one in (login, second, third)]
    assert len({one["jti"] for one in claims}) == 3
    assert len({(one["sub"], one["sid"], one["role"]) for one in claims}) == 1
    # What was renewed is good until it expires, for its login goes on.
    for one in (login, third):
        assert await answers(live, one.access) == WELCOME


@pytest.mark.covers("I3 AuthService.RefreshSession")
async def test_a_lost_answer_is_given_again_to_the_same_device(live: Platform, login: Login) -> None:
    tokens = await at_once([refresh(live, login) for _ in range(10)])
    assert len(set(tokens)) == 1
    assert await refresh(live, login) == tokens[0]
    assert await answers(live, (await refresh(live, tokens[0])).access) == WELCOME


@pytest.mark.covers("I3 AuthService.RefreshSession")
@pytest.mark.parametrize("thief", ["another", ""])
async def test_a_used_refresh_token_ends_the_login(live: Platform, login: Login, thief: str) -> None:
    second = await refresh(live, login)
    stolen = Login(login.access, login.refresh, thief)
    assert await refresh_refused(live, stolen) == "REFRESH_TOKEN_REUSED"
    since = time.monotonic()
    assert await refresh_refused(live, second) == "REFRESH_TOKEN_REUSED"
    for one in (login, second):
        await assert_refused(live, one.access, "SESSION_ENDED", since)


async def test_a_used_refresh_token_whose_answer_has_served_ends_the_login(
    live: Platform, login: Login
) -> None:
    third = await refresh(live, await refresh(live, login))
    assert await refresh_refused(live, login) == "REFRESH_TOKEN_REUSED"
    assert await refresh_refused(live, third) == "REFRESH_TOKEN_REUSED"


async def test_each_kind_of_token_is_good_for_its_own_use_only(live: Platform, login: Login) -> None:
    for path in EACH_SERVICE:
        refused = await live.refused("GET", path, token=login.refresh)
        assert (refused.status, refused.reason) == (401, "TOKEN_NOT_VALID")
    whole = await live.refused("POST", "/v1/sessions:refresh", {"refresh_token": login.access})
    assert (whole.status, whole.reason) == (401, "REFRESH_TOKEN_NOT_VALID")
    for wrong in (login.access[-256:], "x", login.refresh[:-1], login.refresh + "x"):
        assert await refresh_refused(live, Login("", wrong, login.device)) == "REFRESH_TOKEN_NOT_VALID"
    empty = await live.refused("POST", "/v1/sessions:refresh", {})
    assert (empty.status, empty.reason) == (401, "REFRESH_TOKEN_NOT_VALID")
    # None of it harmed the login.
    assert await answers(live, (await refresh(live, login)).access) == WELCOME


# ---------------------------------------------------------------------------- logging out


@pytest.mark.covers("I4 AuthService.LogOut")
@pytest.mark.parametrize("query", ["", "?everywhere=true"])
async def test_a_member_who_logs_out_is_out_everywhere_within_a_second(
    live: Platform, login: Login, query: str
) -> None:
    assert await answers(live, login.access) == WELCOME
    await live.ok("DELETE", f"/v1/sessions/me{query}", token=login.access)
    await assert_refused(live, login.access, "SESSION_ENDED", time.monotonic())
    assert await refresh_refused(live, login) == "SESSION_ENDED"
    again = await live.refused("DELETE", "/v1/sessions/me", token=login.access)
    assert (again.status, again.reason) == (401, "SESSION_ENDED")


@pytest.mark.covers("I8 AuthService.LogOut")
async def test_staff_log_out_here_or_everywhere(live: Platform) -> None:
    manager = await staff(live, "MANAGER")
    second, third = [await log_in(live, manager.user_name) for _ in range(2)]
    await live.ok("DELETE", "/v1/sessions/me", token=manager.token)
    await assert_refused(live, manager.token, "SESSION_ENDED", time.monotonic(), STAFF_PATHS)
    for login in (second, third):
        assert await answers(live, login.access, STAFF_PATHS) == WELCOME
    await live.ok("DELETE", "/v1/sessions/me?everywhere=true", token=third.access)
    since = time.monotonic()
    for login in (second, third):
        await assert_refused(live, login.access, "SESSION_ENDED", since, STAFF_PATHS)


async def test_only_people_log_out(live: Platform, till: str) -> None:
    assert (await live.refused("DELETE", "/v1/sessions/me")).reason == "TOKEN_MISSING"
    assert (await live.refused("DELETE", "/v1/sessions/me", token=till)).reason == "ROLE_NOT_ALLOWED"


# ---------------------------------------------------------------------------- keys


@pytest.mark.covers("I3 AuthService.GetJwks")
async def test_anybody_can_verify_tokens_with_the_published_keys(live: Platform, login: Login) -> None:
    answer = await live.call("GET", "/.well-known/jwks.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "public, max-age=60"
    keys = jwt.PyJWKSet.from_dict(answer.json())
    for token in (login.access, live.admin):
        header = jwt.get_unverified_header(token)
        assert (header["alg"], header["typ"]) == ("RS256", "at+jwt")
        (key,) = [one for one in keys.keys if one.key_id == header["kid"]]
        claims = jwt.decode(token, key, ["RS256"], audience="scrip", issuer="scrip")
        assert claims.keys() >= {"iss", "aud", "sub", "role", "sid", "iat", "exp", "jti"}
    for one in answer.json()["keys"]:
        assert one.keys() == {"kty", "kid", "use", "alg", "n", "e"}


def _claims(login: Login) -> dict[str, str]:
    found: dict[str, str] = jwt.decode(login.access, options={"verify_signature": False})
    return found
