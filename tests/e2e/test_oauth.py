"""The token endpoint as OAuth has it (RFC 6749), over the wire and with a library that we did not write."""

from __future__ import annotations

import base64
import re
from typing import Any

import httpx
import pytest
from oauthlib import oauth2

from tests.platform import Member, Platform, purchase, unique

PATH = "/v1/oauth/token"
GRANT = {"grant_type": "client_credentials"}


async def _till(live: Platform) -> tuple[str, str]:
    """Returns id and secret of a new till."""
    made = await live.ok("POST", "/v1/clients", {"display_name": f"Till {unique()}"}, token=live.admin)
    return made["client"]["id"], made["client_secret"]


def _error(answer: httpx.Response) -> str:
    """Returns the word in a refusal, which is checked to be one (5.2)."""
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["cache-control"] == "no-store"
    said: dict[str, Any] = answer.json()
    assert said.keys() <= {"error", "error_description", "error_uri"}
    assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+", said["error_description"])
    challenge = answer.headers.get("www-authenticate", "")
    if said["error"] == "invalid_client":
        assert answer.status_code == 401
        assert challenge.startswith("Basic ")
    return str(said["error"])


@pytest.mark.covers("I6 AuthService.IssueClientToken")
@pytest.mark.parametrize(
    ("body", "wanted", "status"),
    [
        ("", "invalid_request", 400),
        ("client_id=a&client_secret=b", "invalid_request", 400),
        ("grant_type=client_credentials&grant_type=client_credentials", "invalid_request", 400),
        ("not a form", "invalid_request", 400),
        ("grant_type=password&client_id=a&client_secret=b", "unsupported_grant_type", 400),
        ("grant_type=client_credentials&client_id=a&client_secret=b&scope=x", "invalid_scope", 400),
        ("grant_type=client_credentials", "invalid_client", 401),
        ("grant_type=client_credentials&client_id=a&client_secret=b", "invalid_client", 401),
    ],
)
async def test_refusals_are_those_of_the_rfc(live: Platform, body: str, wanted: str, status: int) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = await live.http.post(PATH, content=body, headers=headers)
    assert (_error(answer), answer.status_code) == (wanted, status)


async def test_two_ways_to_prove_it_at_once_are_refused(live: Platform) -> None:
    client_id, secret = await _till(live)
    form = GRANT | {"client_id": client_id, "client_secret": secret}
    answer = await live.http.post(PATH, data=form, auth=(client_id, secret))
    assert (_error(answer), answer.status_code) == ("invalid_request", 400)


async def test_a_token_is_not_to_be_kept_by_others(live: Platform, ada: Member) -> None:
    client_id, secret = await _till(live)
    pair = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    headers = {"authorization": f"Basic {pair}", "content-type": "application/x-www-form-urlencoded"}
    answer = await live.http.post(PATH, content="grant_type=client_credentials", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/json")
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    token = answer.json()["access_token"]
    await live.ok("POST", "/v1/purchases", purchase(ada, 0), token=token)


async def test_a_client_library_gets_a_token_and_understands_refusals(live: Platform, ada: Member) -> None:
    client_id, secret = await _till(live)
    headers = {"content-type": "application/x-www-form-urlencoded"}

    async def fetch(secret: str) -> httpx.Response:
        body = client.prepare_request_body(client_secret=secret, include_client_id=True)
        return await live.http.post(PATH, content=body, headers=headers)

    client = oauth2.BackendApplicationClient(client_id=client_id)
    token = client.parse_request_body_response((await fetch(secret)).text)
    assert token["token_type"] == "Bearer"
    await live.ok("POST", "/v1/purchases", purchase(ada, 0), token=token["access_token"])
    with pytest.raises(oauth2.InvalidClientError):
        client.parse_request_body_response((await fetch("wrong")).text)
    answer = await live.http.post(PATH, data={"grant_type": "password", "client_id": client_id})
    with pytest.raises(oauth2.OAuth2Error):
        client.parse_request_body_response(answer.text)
