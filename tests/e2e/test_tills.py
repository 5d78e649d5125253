"""Tills: their secret is shown once, is changed without a gap, and they can be kept out."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import jwt
import psycopg
import pytest

from tests.platform import Member, Platform, eventually, limited, purchase, refusal, unique

UNKNOWN = "01990000-0000-7000-8000-000000000000"
FORM = {"grant_type": "client_credentials"}


async def _create(live: Platform) -> tuple[dict[str, Any], str]:
    """Returns a new till and its secret."""
    name = {"display_name": f"Till {unique()}"}
    made = await live.ok("POST", "/v1/clients", name, token=live.admin)
    return made["client"], made["client_secret"]


async def _ask(live: Platform, client_id: str, secret: str) -> httpx.Response:
    form = FORM | {"client_id": client_id, "client_secret": secret}
    return await live.http.post("/v1/oauth/token", data=form)


async def _is_refused(live: Platform, client_id: str, secret: str) -> None:
    assert (await _ask(live, client_id, secret)).status_code == 401


async def _change(live: Platform, client_id: str, verb: str, **fields: int) -> Any:
    return await live.ok("POST", f"/v1/clients/{client_id}:{verb}", fields, token=live.admin)


async def _all(live: Platform) -> list[dict[str, Any]]:
    """Returns every till, as listed."""
    found: list[dict[str, Any]] = []
    token = ""
    while True:
        path = f"/v1/clients?page_size=7&page_token={token}"
        page = await live.ok("GET", path, token=live.admin)
        assert len(page["clients"]) <= 7
        found += page["clients"]
        if not (token := page["next_page_token"]):
            return found


@pytest.mark.covers("I6 AuthService.IssueClientToken")
async def test_the_secret_is_told_once_and_gets_tokens_in_form_or_basic(live: Platform, ada: Member) -> None:
    client, secret = await _create(live)
    listed = await _all(live)
    assert client in listed
    assert secret not in str(listed)
    names = [one["display_name"] for one in listed]
    assert len(set(names)) == len(names)
    in_form = await _ask(live, client["id"], secret)
    in_basic = await live.http.post("/v1/oauth/token", data=FORM, auth=(client["id"], secret))
    for answer in (in_form, in_basic):
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        told = answer.json()
        assert told.keys() == {"access_token", "token_type", "expires_in"}
        assert (told["token_type"], told["expires_in"]) == ("Bearer", 3600)
        claims = jwt.decode(told["access_token"], options={"verify_signature": False})
        assert (claims["sub"], claims["role"]) == (client["id"], "till")
        await live.ok("POST", "/v1/purchases", purchase(ada, 0), token=told["access_token"])


async def test_a_wrong_secret_and_an_unknown_till_look_alike(live: Platform) -> None:
    client, secret = await _create(live)
    for client_id, wrong in ((client["id"], secret[:-1]), (UNKNOWN, secret), ("x", secret)):
        await _is_refused(live, client_id, wrong)


@pytest.mark.covers("I6 ClientService.RotateClientSecret")
async def test_both_secrets_work_while_they_overlap(live: Platform) -> None:
    client, old = await _create(live)
    new = (await _change(live, client["id"], "rotateSecret", overlap_seconds=60))["client_secret"]
    assert new != old
    for secret in (old, new):
        assert (await _ask(live, client["id"], secret)).status_code == 200
    # The minute passes.
    passed = (
        "UPDATE clients SET old_secret_ends_at = old_secret_ends_at - interval '60 seconds'"
        " WHERE id = %s AND old_secret_ends_at BETWEEN now() AND now() + interval '60 seconds'"
    )
    with psycopg.connect(live.databases["identity"]) as connection:
        assert connection.execute(passed, (client["id"],)).rowcount == 1
    await _is_refused(live, client["id"], old)
    assert (await _ask(live, client["id"], new)).status_code == 200


async def test_no_token_is_refused_while_a_secret_is_rotated(live: Platform) -> None:
    client, first = await _create(live)
    held = [first]

    async def ask() -> int:
        return (await _ask(live, client["id"], held[-1])).status_code

    async def rotate() -> None:
        new = await _change(live, client["id"], "rotateSecret", overlap_seconds=60)
        held.append(new["client_secret"])

    asking = asyncio.create_task(limited(10, [ask] * 200))
    await asyncio.sleep(0.1)
    await rotate()
    assert not asking.done()
    assert set(await asking) == {200}
    await rotate()
    # Two at most, though both of the older ones would still overlap.
    told = [(await _ask(live, client["id"], secret)).status_code for secret in held]
    assert told == [401, 200, 200]


async def test_without_an_overlap_the_old_secret_ends_at_once(live: Platform) -> None:
    client, old = await _create(live)
    new = (await _change(live, client["id"], "rotateSecret"))["client_secret"]
    await _is_refused(live, client["id"], old)
    assert (await _ask(live, client["id"], new)).status_code == 200


@pytest.mark.covers("I6 ClientService.DisableClient", "I6 ClientService.EnableClient")
async def test_a_disabled_till_is_refused_within_seconds_and_needs_a_new_secret(
    live: Platform, ada: Member
) -> None:
    client, secret = await _create(live)
    token = (await _ask(live, client["id"], secret)).json()["access_token"]
    told = await _change(live, client["id"], "disable")
    disabled = told["client"]
    assert disabled == client | {"enabled": False, "etag": disabled["etag"]}
    await _is_refused(live, client["id"], secret)

    async def is_refused() -> None:
        for path, body in (
            ("/v1/purchases", purchase(ada, 0)),
            ("/v1/codes:verify", {"code": "ZZZZZZZZZZZZ"}),
        ):
            answer = await live.call("POST", path, body, token=token)
            assert answer.status_code == 403
            assert refusal(answer).reason == "ACCOUNT_SUSPENDED"

    await eventually(is_refused)
    enabled = (await _change(live, client["id"], "enable"))["client"]
    assert enabled == client | {"etag": enabled["etag"]}
    assert len({client["etag"], disabled["etag"], enabled["etag"]}) == 3
    await _is_refused(live, client["id"], secret)
    new = (await _change(live, client["id"], "rotateSecret", overlap_seconds=60))["client_secret"]
    again = (await _ask(live, client["id"], new)).json()["access_token"]
    await live.ok("POST", "/v1/purchases", purchase(ada, 0), token=again)
    assert (await live.refused("POST", "/v1/purchases", purchase(ada, 0), token=token)).status == 401


@pytest.mark.parametrize("verb", ["rotateSecret", "disable", "enable"])
async def test_an_unknown_till_is_404(live: Platform, verb: str) -> None:
    refused = await live.refused("POST", f"/v1/clients/{UNKNOWN}:{verb}", {}, token=live.admin)
    assert (refused.status, refused.reason) == (404, "CLIENT_NOT_FOUND")
    assert refused.metadata == {"client_id": UNKNOWN}
    malformed = await live.refused("POST", f"/v1/clients/me:{verb}", {}, token=live.admin)
    assert (malformed.status, malformed.fields) == (400, ["client_id"])


@pytest.mark.parametrize("seconds", [-1, 604_801, 2**31])
async def test_an_overlap_out_of_range_is_refused(live: Platform, seconds: int) -> None:
    client, secret = await _create(live)
    refused = await live.refused(
        "POST", f"/v1/clients/{client['id']}:rotateSecret", {"overlap_seconds": seconds}, token=live.admin
    )
    assert (refused.status, refused.reason) == (400, "VALIDATION_FAILED")
    assert "overlap_seconds" in refused.message
    assert (await _ask(live, client["id"], secret)).status_code == 200
