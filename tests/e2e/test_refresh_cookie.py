"""A browser's refresh token, through the edge: in a cookie, shared by its tabs."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.e2e.people import PASSWORD, register
from tests.platform import Platform, refusal

REFRESH = "/v1/sessions:refresh"


@pytest.fixture
async def browser(live: Platform) -> httpx.AsyncClient:
    """A client that keeps cookies, as a browser does."""
    return httpx.AsyncClient(base_url=live.http.base_url, timeout=30)


async def _log_in(live: Platform, browser: httpx.AsyncClient) -> httpx.Response:
    member, _ = await register(live)
    credentials = {"user_name": member["user_name"], "password": PASSWORD}
    answer = await browser.post("/v1/sessions", json={"password": credentials, "cookie": True})
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.covers("I3 AuthService.RefreshSession", "I4 AuthService.LogOut")
async def test_the_browser_keeps_it_sends_it_and_forgets_it(
    live: Platform, browser: httpx.AsyncClient
) -> None:
    async with browser:
        answer = await _log_in(live, browser)
        assert answer.json()["token"]["refresh_token"] == ""
        cookie = answer.headers["set-cookie"]
        for attribute in (f"Path={REFRESH}", "HttpOnly", "SameSite=Strict", "Max-Age="):
            assert attribute in cookie
        # Two tabs at the same moment; neither can read the cookie.
        tabs = await asyncio.gather(*(browser.post(REFRESH, json={}) for _ in range(2)))
        token = ""
        for tab in tabs:
            assert tab.status_code == 200, tab.text
            assert tab.json()["token"]["refresh_token"] == ""
            token = tab.json()["token"]["access_token"]
            await live.ok("GET", "/v1/members/me", token=token)
        # It goes nowhere else.
        sent = browser.build_request("GET", "/v1/members/me")
        assert "cookie" not in sent.headers
        out = await browser.delete("/v1/sessions/me", headers={"authorization": f"Bearer {token}"})
        assert out.status_code == 200
        assert not list(browser.cookies.jar)
        refused = refusal(await browser.post(REFRESH, json={}))
        assert (refused.status, refused.reason) == (401, "REFRESH_TOKEN_NOT_VALID")
