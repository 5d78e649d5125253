"""Closing an account: its member is gone from everywhere, the books stay."""

from __future__ import annotations

import time
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests import invariants
from tests.e2e.people import (
    EACH_SERVICE,
    WELCOME,
    Login,
    answers,
    assert_refused,
    log_in,
    new_name,
    refresh_refused,
    register,
)
from tests.platform import Member, Platform, purchase, unique

ME = "/v1/members/me"
HEARD_SECONDS = 20.0


async def _whole_member(live: Platform) -> tuple[dict[str, Any], Member, Login]:
    """Returns a member with everything that a member can have."""
    otp = await live.otp()
    _, login = await register(
        live,
        full_name=f"Wilhelmina {unique()}",
        otp=otp.proof,
        user_name=new_name(),
        email=f"{unique()}@example.com",
        birthday="1967-08-09",
        device_id=f"device-{unique()}",
    )
    said = {"shares_contact": True, "wording_version": f"wording-{unique()}"}
    shown: dict[str, Any] = (await live.ok("PUT", f"{ME}/consent", said, token=login.access))["member"]
    code = (await live.ok("GET", f"{ME}/code", token=login.access))["member_code"]
    return shown, Member(shown["id"], code, login.access, otp.phone, login.refresh), login


async def _close(live: Platform, member: Member) -> float:
    """Closes an account; returns when."""
    await live.close(member)
    return time.monotonic()


def _mentions(url: str, needles: list[str]) -> list[str]:
    """Returns the tables of this database in which one of the texts stands, in any letter case."""
    words = "EXISTS (SELECT FROM unnest(%s::text[]) AS n WHERE position(lower(n) IN lower(t::text)) > 0)"
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        return [
            name
            for (name,) in tables
            if connection.execute(
                sql.SQL("SELECT 1 FROM {} AS t WHERE " + words + " LIMIT 1").format(sql.Identifier(name)),
                (needles,),
            ).fetchone()
        ]


@pytest.mark.covers("I8 MemberService.CloseMe")
async def test_nothing_personal_is_left_in_any_service(live: Platform, till: str) -> None:
    shown, member, login = await _whole_member(live)
    await live.give(till, member, 600)
    wallet = await live.bought(member, await live.voucher(1))
    needles = [
        shown["full_name"],
        shown["user_name"],
        shown["email"],
        member.phone,
        member.phone[2:],
        member.code,
        login.device,
        shown["consent"]["wording_version"],
    ]
    tables = {name: _mentions(url, needles) for name, url in live.databases.items()}
    assert {"accounts", "members", "sessions", "otps"} <= set(tables["identity"]), "it finds what is there"
    assert "member_codes" in tables["points"]
    await _close(live, member)
    await live.at_rest(HEARD_SECONDS)
    for name, url in live.databases.items():
        assert _mentions(url, needles) == [], name

    read = (await live.ok("GET", f"/v1/members/{shown['id']}", token=live.admin))["member"]
    assert read.pop("etag")
    assert read == {
        "id": shown["id"],
        "full_name": "",
        "phone": "",
        "registered_at": shown["registered_at"],
        "user_name": "",
        "email": "",
        "email_confirmed": False,
        "pending_email": "",
        "birthday": "",
        "has_password": False,
        "state": "MEMBER_STATE_CLOSED",
        "masked": False,
    }
    for word in needles[:4]:
        found = await live.ok("GET", f"/v1/members?query={word.replace('+', '%2B')}", token=live.admin)
        assert found["members"] == []
    # The books stay, under an id that names nobody; what was bought is good for nobody.
    entries = "SELECT kind, delta FROM ledger_entries WHERE member_id = '{}' ORDER BY sequence"
    kept = invariants.rows(live.databases["points"], entries.format(shown["id"]))
    assert [tuple(row.values()) for row in kept] == [("EARN", 600), ("SPEND", -500), ("FORFEIT", -100)]
    refused = await live.refused("POST", "/v1/codes:verify", {"code": wallet["code"]}, token=till)
    assert (refused.status, refused.reason) == (400, "CODE_ON_HOLD")
    invariants.check(live.databases)


async def test_its_tokens_code_and_names_are_refused_everywhere(live: Platform, till: str) -> None:
    shown, member, login = await _whole_member(live)
    assert await answers(live, login.access) == WELCOME
    signed = (await live.ok("GET", f"{ME}/code?signed=true", token=login.access))["member_code"]
    await assert_refused(live, login.access, "ACCOUNT_CLOSED", await _close(live, member))
    again = await live.refused("POST", f"{ME}:close", {"confirm": True}, token=login.access)
    assert (again.status, again.reason) == (403, "ACCOUNT_CLOSED")
    assert await refresh_refused(live, login) == "SESSION_ENDED"
    for name in (shown["user_name"], shown["email"], member.phone):
        entry = {"password": {"user_name": name, "password": "a zebra counts backwards"}}
        assert (await live.refused("POST", "/v1/sessions", entry)).reason == "CREDENTIALS_NOT_VALID"
    otp = await live.otp(member.phone, "LOG_IN")
    assert (await live.refused("POST", "/v1/sessions", {"otp": otp.proof})).reason == "ACCOUNT_NOT_FOUND"
    await live.at_rest(HEARD_SECONDS)
    for code in (member.code, signed):
        receipt = purchase(member, 1_000) | {"member_code": code}
        refused = await live.refused("POST", "/v1/purchases", receipt, token=till)
        assert (refused.status, refused.reason) == (404, "MEMBER_CODE_UNKNOWN")


@pytest.mark.parametrize("body", [{}, {"confirm": False}])
async def test_closing_must_be_meant(live: Platform, ada: Member, body: dict[str, bool]) -> None:
    refused = await live.refused("POST", f"{ME}:close", body, token=ada.token)
    assert (refused.status, refused.reason, refused.fields) == (400, "VALIDATION_FAILED", ["confirm"])
    assert await answers(live, ada.token, EACH_SERVICE[:1]) == WELCOME


@pytest.mark.covers("I8 MemberService.CloseMe")
async def test_who_comes_back_finds_its_names_free_and_wins_no_second_prize(live: Platform) -> None:
    campaign = await live.campaign(1_000)
    shown, member, login = await _whole_member(live)
    assert campaign in [won["campaign_id"] for won in await live.rewards(member)]
    await _close(live, member)
    otp = await live.otp(member.phone)
    names = {"user_name": shown["user_name"], "email": shown["email"]}
    again, _ = await register(live, otp=otp.proof, **names)
    assert again["id"] != shown["id"]
    assert again.items() >= (names | {"phone": member.phone, "birthday": ""}).items()
    assert "consent" not in again
    assert await answers(live, (await log_in(live, shown["email"])).access) == WELCOME
    other = await live.member()
    assert campaign in [won["campaign_id"] for won in await live.rewards(other)]
    await live.at_rest(HEARD_SECONDS)
    login = await log_in(live, shown["email"])
    assert (await live.ok("GET", f"{ME}/rewards", token=login.access))["rewards"] == []
    assert (await live.ok("GET", f"{ME}/points", token=login.access))["balance"] == 0
    winners = [winner["member_id"] for winner in await live.winners(campaign)]
    assert (shown["id"] in winners, again["id"] in winners, other.id in winners) == (True, False, True)
    await live.ok("POST", f"/v1/campaigns/{campaign}:end", {}, token=live.admin)
    invariants.check(live.databases)


async def test_a_code_sent_before_the_closing_does_not_let_in_after_it(live: Platform) -> None:
    member = await live.member()
    otp = await live.otp(member.phone, "LOG_IN")
    await _close(live, member)
    assert (await live.refused("POST", "/v1/sessions", {"otp": otp.proof})).reason == "OTP_NOT_VALID"
    assert (await live.member(await live.otp(member.phone))).id != member.id
