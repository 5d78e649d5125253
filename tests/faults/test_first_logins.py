"""Any process may be killed while members join: nobody's first login is lost, and none counts twice."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from uuid import UUID

import httpx
import pytest

from bench.first_logins import applied, arrive, disturb, until_applied
from tests import invariants
from tests.faults.clients import Disturbed, answer
from tests.platform import MEMBERS_AT_ONCE, Otp, Platform, at_once, eventually, limited, refusal

ARRIVALS, PLACES = 60, 40
CROWD, CROWDS_PLACES = 400, 100
HEARD_SECONDS, CROWD_SECONDS = 30.0, 120.0
LISTENERS = ("points", "vouchers", "promos")


async def _join(live: Platform, otp: Otp, seen: Disturbed) -> str:
    """Registers as an app does, and returns the member's token.

    When the response to a registration was lost, the one-time password is used up: the number logs in.
    """
    body = {"otp": otp.proof, "full_name": "Ada Lovelace"}
    got = await answer(live, partial(live.call, "POST", "/v1/members", body), seen)
    if got.status_code != httpx.codes.OK:
        assert refusal(got).reason == "OTP_NOT_VALID", got.text
        again = await live.otp(otp.phone, "LOG_IN")
        got = await answer(live, partial(live.call, "POST", "/v1/sessions", {"otp": again.proof}), seen)
    assert got.status_code == httpx.codes.OK, got.text
    seen.note_answer()
    return str(got.json()["token"]["access_token"])


@pytest.mark.timeout(180)
@pytest.mark.parametrize("killed", ["identity", "promos", "identity-worker"])
async def test_every_first_login_counts_once(live: Platform, killed: str) -> None:
    otps = await limited(MEMBERS_AT_ONCE, [live.otp for _ in range(ARRIVALS)])
    few, many = await live.campaign(PLACES), await live.campaign(10 * ARRIVALS)
    seen = Disturbed()
    joining = asyncio.create_task(at_once([_join(live, otp, seen) for otp in otps]))
    await seen.until_answered(ARRIVALS // 4)
    pid = live.stack.kill(killed)
    died = time.monotonic()
    assert seen.answered < ARRIVALS, "that was not the middle"
    tokens = await joining
    ids = [(await live.ok("GET", "/v1/members/me", token=token))["member"]["id"] for token in tokens]
    assert len(set(ids)) == ARRIVALS

    async def all_won() -> None:
        assert len(await live.winners(many)) == ARRIVALS

    await eventually(all_won, HEARD_SECONDS - (time.monotonic() - died))
    await asyncio.to_thread(live.stack.wait_restarted, killed, pid)
    await live.at_rest(HEARD_SECONDS)
    _all_heard_everything(live, ids)
    winners = await live.winners(many)
    assert [winner["rank"] for winner in winners] == list(range(1, ARRIVALS + 1))
    assert {winner["member_id"] for winner in winners} == set(ids)
    winners = await live.winners(few)
    assert [winner["rank"] for winner in winners] == list(range(1, PLACES + 1))
    assert {winner["member_id"] for winner in winners} < set(ids)
    invariants.check_campaigns(live.databases["promos"])
    mine = await live.ok("GET", "/v1/members/me/rewards", token=tokens[0])
    assert len([p for p in mine["rewards"] if p["campaign_id"] == many]) == 1
    await live.ok("POST", f"/v1/campaigns/{few}:end", {}, token=live.admin)
    await live.ok("POST", f"/v1/campaigns/{many}:end", {}, token=live.admin)


@pytest.mark.timeout(240)
@pytest.mark.covers("C3 MemberEventsService.Apply")
async def test_of_a_crowd_exactly_as_many_win_as_there_are_places(live: Platform) -> None:
    """Promos and both workers are killed on the way, and Redis forgets everything."""
    campaign = await live.campaign(CROWDS_PLACES)
    members = await arrive(live.databases["identity"], CROWD)
    promos = live.databases["promos"]
    await until_applied(promos, members, CROWD // 10, HEARD_SECONDS)
    assert applied(promos, members) < CROWD, "that was not the middle"
    await disturb(live.stack)
    await until_applied(promos, members, CROWD, CROWD_SECONDS)
    await live.at_rest(HEARD_SECONDS)
    winners = await live.winners(campaign)
    assert [winner["rank"] for winner in winners] == list(range(1, CROWDS_PLACES + 1))
    assert {UUID(winner["member_id"]) for winner in winners} < set(members)
    shown = await live.ok("GET", f"/v1/campaigns/{campaign}", token=live.admin)
    assert (shown["campaign"]["places_left"], shown["campaign"]["state"]) == (0, "CAMPAIGN_STATE_FULL")
    invariants.check_campaigns(promos)
    await live.ok("POST", f"/v1/campaigns/{campaign}:end", {}, token=live.admin)


def _all_heard_everything(live: Platform, ids: list[str]) -> None:
    """Every service has each member's last event."""
    for service in LISTENERS:
        known = invariants.rows(live.databases[service], "SELECT member_id, version FROM members")
        versions = {str(row["member_id"]): row["version"] for row in known}
        assert {versions.get(member_id) for member_id in ids} == {2}, service
