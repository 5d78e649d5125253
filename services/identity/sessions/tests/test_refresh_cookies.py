"""Refresh tokens of browsers: a cookie in place of a field, shared by the tabs."""

from __future__ import annotations

import asyncio
from http.cookies import SimpleCookie
from typing import Any

import grpc
import jwt
import pytest
from scrip.identity.v1 import auth_pb2, auth_pb2_grpc

from services.identity.tests.devices import proven
from services.identity.tests.own_identity import own_identity
from services.identity.tests.people import LOG_IN, PASSWORD, People, new_user_name
from tests.inprocess import ADMIN_PASSWORD, Platform, bearer, reason, refusal

NAME = "scrip_refresh"
TWENTY_SECONDS = """
UPDATE refresh_tokens SET
  created_at = created_at - interval '20 seconds', used_at = used_at - interval '20 seconds'
WHERE session_id = CAST(%(id)s AS uuid)
"""


class Browser:
    """Keeps the cookie as browsers do, and has as many tabs as calls."""

    def __init__(self, people: People) -> None:
        self._auth = people.auth
        self.cookie = ""
        self.attributes: dict[str, Any] = {}

    async def call(self, method: Any, request: Any, **headers: str) -> Any:
        """Makes a call with the cookie, and keeps what it sets."""
        sent = [("cookie", f"theme=dark; {NAME}={self.cookie}")] if self.cookie else []
        call = method(
            request, metadata=[*sent, *((name.replace("_", "-"), it) for name, it in headers.items())]
        )
        reply = await call
        for key, value in tuple(await call.initial_metadata()):
            if key == "set-cookie":
                morsel = SimpleCookie(value)[NAME]
                self.cookie, self.attributes = morsel.value, {k: v for k, v in morsel.items() if v}
        return reply

    async def log_in(self, people: People, phone: str, device_id: str = "") -> auth_pb2.AccessToken:
        """Logs in by one-time password."""
        proof = await proven(people, phone, LOG_IN)
        request = auth_pb2.LogInRequest(otp=proof, cookie=True, device_id=device_id)
        token: auth_pb2.AccessToken = (await self.call(self._auth.LogIn, request)).token
        return token

    async def refresh(self, **headers: str) -> auth_pb2.AccessToken:
        """Asks for the next tokens, as a page does: it can not read the cookie."""
        request = auth_pb2.RefreshSessionRequest()
        token: auth_pb2.AccessToken = (await self.call(self._auth.RefreshSession, request, **headers)).token
        return token


@pytest.fixture
def browser(people: People) -> Browser:
    """A browser without cookies."""
    return Browser(people)


async def later(people: People, token: auth_pb2.AccessToken) -> None:
    """Lets twenty seconds pass for a login."""
    sid = jwt.decode(token.access_token, options={"verify_signature": False})["sid"]
    await people.execute("identity", TWENTY_SECONDS, id=sid)


@pytest.mark.covers("I3 AuthService.RefreshSession", "I2 AuthService.LogIn")
async def test_the_token_is_in_a_cookie_that_no_script_reads(people: People, browser: Browser) -> None:
    member = await people.platform.member()
    token = await browser.log_in(people, member.phone)
    assert token.access_token
    assert token.refresh_token == ""
    assert len(browser.cookie) > 43
    assert browser.attributes == {
        "path": "/v1/sessions:refresh",
        "httponly": True,
        "samesite": "Strict",
        "secure": True,
        "max-age": str(token.refresh_expires_in),
    }
    await later(people, token)
    used = browser.cookie
    second = await browser.refresh()
    assert second.refresh_token == ""
    assert browser.cookie != used
    await people.me(second.access_token)


@pytest.mark.covers("I1 AuthService.RegisterMember")
async def test_registering_sets_it_too(people: People, browser: Browser) -> None:
    request = auth_pb2.RegisterMemberRequest(
        full_name="Grace", user_name=new_user_name(), password=PASSWORD, cookie=True
    )
    made = await browser.call(people.auth.RegisterMember, request)
    assert made.token.refresh_token == ""
    await later(people, made.token)
    await browser.refresh()


@pytest.mark.parametrize("device_id", ["", "a device of \u2603, 100 %; with = and ."])
async def test_tabs_that_refresh_at_the_same_moment_both_go_on(
    people: People, browser: Browser, device_id: str
) -> None:
    member = await people.platform.member()
    token = await browser.log_in(people, member.phone, device_id)
    for _ in range(3):
        await later(people, token)
        used = browser.cookie
        tokens = await asyncio.gather(*(browser.refresh() for _ in range(10)))
        # A tab that was slow, and one that is opened now.
        late = Browser(people)
        late.cookie = used
        tokens += [await browser.refresh(), await late.refresh()]
        assert late.cookie == browser.cookie != used
        for each in tokens:
            await people.me(each.access_token)
    await later(people, token)
    await browser.refresh()


async def test_a_stolen_cookie_that_comes_later_ends_the_login(people: People, browser: Browser) -> None:
    member = await people.platform.member()
    token = await browser.log_in(people, member.phone)
    await later(people, token)
    thief = Browser(people)
    thief.cookie = browser.cookie
    await browser.refresh()
    await later(people, token)
    assert await reason(thief.refresh()) == "REFRESH_TOKEN_REUSED"
    assert await reason(browser.refresh()) == "REFRESH_TOKEN_REUSED"


async def test_its_token_alone_is_bound_to_its_device(people: People, browser: Browser) -> None:
    member = await people.platform.member()
    await browser.log_in(people, member.phone)
    alone = browser.cookie.partition(".")[0]
    assert await reason(people.refresh(alone)) == "REFRESH_TOKEN_REUSED"


@pytest.mark.covers("I4 AuthService.LogOut")
async def test_logging_out_removes_it(people: People, browser: Browser) -> None:
    member = await people.platform.member()
    token = await browser.log_in(people, member.phone)
    await browser.call(
        people.auth.LogOut, auth_pb2.LogOutRequest(), authorization=f"Bearer {token.access_token}"
    )
    assert browser.cookie == ""
    assert browser.attributes["path"] == "/v1/sessions:refresh"
    assert await reason(browser.refresh()) == "REFRESH_TOKEN_NOT_VALID"


@pytest.mark.parametrize("cookie", ["x", "x.y.z", ".", "a.%", "a.____", "\u2603"])
async def test_a_cookie_that_is_none_is_not_valid(browser: Browser, cookie: str) -> None:
    browser.cookie = cookie if cookie.isascii() else ""
    assert await reason(browser.refresh()) == "REFRESH_TOKEN_NOT_VALID"


async def test_pages_of_other_sites_neither_refresh_nor_log_in(people: People, browser: Browser) -> None:
    member = await people.platform.member()
    await browser.log_in(people, member.phone)
    assert await reason(browser.refresh(sec_fetch_site="cross-site")) == "VALIDATION_FAILED"
    proof = await proven(people, member.phone, LOG_IN)
    request = auth_pb2.LogInRequest(otp=proof, cookie=True)
    call = browser.call(people.auth.LogIn, request, sec_fetch_site="cross-site")
    name, code, _ = await refusal(call)
    assert (name, code) == ("VALIDATION_FAILED", grpc.StatusCode.INVALID_ARGUMENT)
    for site in ("same-origin", "same-site", "none"):
        await browser.refresh(sec_fetch_site=site)


async def test_without_tls_it_is_a_setting(platform: Platform) -> None:
    async with own_identity(platform, cookie_secure=False) as own:
        auth = auth_pb2_grpc.AuthServiceStub(own.channel)
        given = auth_pb2.PasswordCredentials(user_name="admin", password=ADMIN_PASSWORD)
        call = auth.LogIn(auth_pb2.LogInRequest(password=given, cookie=True))
        token = (await call).token
        [cookie] = [value for key, value in tuple(await call.initial_metadata()) if key == "set-cookie"]
        assert "Secure" not in cookie
        assert "HttpOnly" in cookie
        await auth.LogOut(auth_pb2.LogOutRequest(), metadata=bearer(token.access_token))
