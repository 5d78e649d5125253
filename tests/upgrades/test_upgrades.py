"""What earlier versions left behind goes on after an upgrade: nothing is lost, forgotten or done twice."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import jwt

from stack.settings import ROOT
from stack.testing import RunningStack
from tests import invariants
from tests.e2e.points import finished_import, line, refund, sale
from tests.platform import at_once, eventually, refusal, unique
from tests.upgrades.retailer import Retailer, present_path
from tests.upgrades.upgraded import REST_SECONDS, Upgraded, missing, points, without_clock

WIN_SECONDS = 10.0
BOOKS_SECONDS = 60.0
SHOWN = 200
ORDERS = "/v1/members/me/orders"
GONE = {"account_closed": True, "code_state": "REWARD_STATE_VOID"}
"""What is told of a winner who has left."""


def _as_told_then(answer: Any) -> Any:
    """Returns a response with what older versions told in another way, as they did; theirs as it is.

    Purchases had their rules in words, and 0 for the balance of nobody; a campaign that runs was ACTIVE.
    """
    if isinstance(answer, list):
        return [_as_told_then(one) for one in answer]
    if not isinstance(answer, dict):
        return answer
    told = {name: _as_told_then(one) for name, one in answer.items()}
    if "claim" in told or "refund" in told:
        told.setdefault("balance_after", 0)
    if told.get("state") == "CAMPAIGN_STATE_RUNNING":
        told["state"] = "CAMPAIGN_STATE_ACTIVE"
    if "applied_rules" in told and "bonus_points" in told and "receipt_number" in told:
        told["earn_rule"] = _in_words(told["applied_rules"])
    return told


def _in_words(rules: list[dict[str, Any]]) -> str:
    rate, *others = rules
    words = f"{rate['base_rate']['points']} per {rate['base_rate']['per_minor']} minor units"
    if rate["name"]:
        words += f" by {rate['name']}"
    effects = [
        f"{rule['multiplier_percent']} % by {rule['name']}"
        if "multiplier_percent" in rule
        else f"none by {rule['name']}"
        for rule in others
        if "first_purchase_bonus" not in rule
    ]
    return "; ".join([words, *sorted(effects)])


def _lost(call: Mapping[str, Any], answer: httpx.Response) -> list[str]:
    """Returns what the response to a repeated call lacks."""
    if answer.status_code != call["status"]:
        return [answer.text]
    old, new = (without_clock(_as_told_then(told)) for told in (call["answer"], answer.json()))
    return missing(old, new)


# ---------------------------------------------------------------------------- what was under way


async def test_what_was_under_way_has_come_to_its_end(upgraded: Upgraded) -> None:
    expected = {
        name: {
            "balance": who["points"]["balance"] + who["changes_by"],
            "debt": who["points"]["debt"],
            "closed": name in ("closed", "closed_unheard"),
        }
        for name, who in upgraded.dump.content["people"].items()
    }
    assert upgraded.seen == expected


async def test_a_file_of_adjustments_was_finished(upgraded: Upgraded) -> None:
    told = await finished_import(upgraded.live, upgraded.known["import"])
    assert (told["lines"], told["refused"]) == (told["done"] + 2, 2)


async def test_orders_under_way_are_answered_as_they_ended(upgraded: Upgraded) -> None:
    for one in upgraded.dump.content["orders_under_way"]:
        call = {"method": "POST", "path": ORDERS, "body": one["body"], "key": one["key"]}
        answer = await upgraded.live.send(upgraded.tokens[one["who"]], call)
        if one["ends"] == "COMPLETED":
            order = answer.json()["order"]
            assert (order["id"], order["state"]) == (one["order"]["id"], "ORDER_STATE_COMPLETED")
            path = f"/v1/members/me/vouchers/{order['wallet_voucher_id']}"
            mine = await upgraded.live.ok("GET", path, token=upgraded.tokens[one["who"]])
            code = {"code": mine["voucher"]["code"]}
            await upgraded.live.ok("POST", "/v1/codes:verify", code, token=upgraded.tokens["till"])
        else:
            refused = refusal(answer)
            assert refused.reason in ("ORDER_UNDONE", "INSUFFICIENT_POINTS")


async def test_services_have_heard_of_members_and_identity_of_changes(upgraded: Upgraded) -> None:
    live, known = upgraded.live, upgraded.known
    suspended = sale(upgraded.member("suspended_unheard"), line(1_000))
    kept = await live.ok("POST", "/v1/purchases", suspended, token=upgraded.tokens["till"])
    assert (kept["member_suspended"], "balance_after" in kept) == (True, False)
    for target, actions in (
        (known["voucher_unheard"], ["voucher.created"]),
        (known["paused_campaign"], ["campaign.paused", "campaign.created"]),
        (upgraded.person("ada")["id"], ["points.adjusted"] * 3),
    ):
        listed = await live.ok("GET", f"/v1/audit-entries?target_id={target}", token=live.admin)
        assert [entry["action"] for entry in listed["entries"]] == actions


async def test_places_stay_and_the_next_ones_are_given(upgraded: Upgraded) -> None:
    winners = await upgraded.live.winners(upgraded.known["campaign"])
    before = [
        one | GONE
        if one["member_id"] == upgraded.person("closed_unheard")["id"] and one.keys() >= GONE.keys()
        else one
        for one in upgraded.dump.content["winners"]
    ]
    assert missing(before, winners[: len(before)]) == []
    unheard = winners[len(before)]
    assert (unheard["rank"], unheard["member_id"]) == (len(before) + 1, upgraded.person("unheard")["id"])


async def test_old_rewards_have_ids_and_states(upgraded: Upgraded) -> None:
    live, token = upgraded.live, upgraded.tokens["ada"]
    mine = await live.ok("GET", "/v1/members/me/rewards", token=token)
    [reward] = mine["rewards"]
    assert (reward["campaign_id"], reward["code"]) == (upgraded.known["campaign"], upgraded.known["won_code"])
    read = await live.ok("GET", f"/v1/members/me/rewards/{reward['id']}", token=token)
    assert read["reward"] == reward


async def test_old_redemptions_are_of_their_till_and_set(upgraded: Upgraded) -> None:
    till, calls = upgraded.dump.content["tills"]["till"]["id"], upgraded.dump.content["calls"]
    bodies = [call["body"] for call in calls if call["path"] == "/v1/codes:redeem"]
    numbers = {body["sale_reference"]: body.get("till_number", "") for body in bodies}
    for reference, code_set, cancelled in (
        ("S-1", "voucher", False),
        ("S-2", "voucher", True),
        ("S-3", "campaign", False),
    ):
        path = f"/v1/redemptions?redeemed_by={till}&sale_reference={reference}"
        [found] = (await upgraded.live.ok("GET", path, token=upgraded.live.admin))["redemptions"]
        assert (found["redeemed_by"], found["till_number"]) == (till, numbers.get(reference, ""))
        assert found["code_set_id"] == upgraded.known[code_set]
        assert bool(found.get("cancelled_at")) == cancelled


# ---------------------------------------------------------------------------- calls that are repeated


async def test_repeated_calls_get_the_answers_of_then(upgraded: Upgraded) -> None:
    calls, before = upgraded.dump.content["calls"], await points(upgraded.dump, upgraded.live)
    got = await at_once([upgraded.live.send(upgraded.tokens[call["who"]], call) for call in calls])
    wrong = {
        f"{call['method']} {call['path']} {call['body']}"[:SHOWN]: lost
        for call, answer in zip(calls, got, strict=True)
        if (lost := _lost(call, answer))
    }
    assert wrong == {}
    assert await points(upgraded.dump, upgraded.live) == before


async def test_a_known_key_with_other_content_is_refused(upgraded: Upgraded) -> None:
    calls = upgraded.dump.content["calls"]
    receipt = next(call for call in calls if call["path"] == "/v1/purchases")["body"]
    receipt = receipt | {"items": [one | {"unit_price_minor": "1"} for one in receipt["items"]]}
    token = upgraded.tokens["till"]
    refused = await upgraded.live.refused("POST", "/v1/purchases", receipt, token=token)
    assert (refused.status, refused.reason) == (409, "RECEIPT_CONFLICT")
    order = next(call for call in calls if present_path(call["path"]) == ORDERS)
    other = order | {"body": {"voucher_id": upgraded.known["voucher_unheard"]}}
    answer = await upgraded.live.send(upgraded.tokens[order["who"]], other)
    assert refusal(answer).reason == "IDEMPOTENCY_KEY_REUSED"


# ---------------------------------------------------------------------------- logins and secrets


async def test_old_logins_go_on_and_old_keys_still_sign(upgraded: Upgraded) -> None:
    gone = {"closed", "suspended", "closed_unheard", "suspended_unheard"}
    assert upgraded.tokens.keys() == (upgraded.dump.content["people"].keys() - gone) | {"admin", "till"}
    published = await upgraded.live.ok("GET", "/.well-known/jwks.json")
    keys = {key["kid"]: jwt.PyJWK(key) for key in published["keys"]}
    for token in (upgraded.person("ada")["access_token"], upgraded.tokens["ada"]):
        key = keys[jwt.get_unverified_header(token)["kid"]]
        jwt.decode(token, key, ["RS256"], options={"verify_exp": False, "verify_aud": False})
    await _is_welcome(upgraded.live, upgraded.tokens["ada"])


async def _is_welcome(live: Retailer, token: str) -> None:
    """Asserts that every service takes a token."""
    for path in (
        "/v1/members/me",
        *(f"/v1/members/me/{what}" for what in ("points", "vouchers", "rewards")),
    ):
        await live.ok("GET", path, token=token)


async def test_people_log_in_by_their_passwords(upgraded: Upgraded) -> None:
    live, staff = upgraded.live, upgraded.dump.content["staff"]
    names = {name: who["user_name"] for name, who in upgraded.dump.content["people"].items()}
    out = {
        "closed": "CREDENTIALS_NOT_VALID",
        "closed_unheard": "CREDENTIALS_NOT_VALID",
        "suspended": "ACCOUNT_SUSPENDED",
        "suspended_unheard": "ACCOUNT_SUSPENDED",
    }
    for name, reason in out.items():
        assert refusal(await live.log_in(names[name])).reason == reason
    assert (await live.log_in(names["expiring"])).status_code == 200
    for role in ("MANAGER", "BRAND_MANAGER"):
        assert (await live.log_in(staff[role])).status_code == 200
    assert refusal(await live.log_in(staff["CASHIER"])).status in (401, 403)


async def test_tills_have_their_old_secrets(upgraded: Upgraded) -> None:
    tills = upgraded.dump.content["tills"]
    for secret in (tills["rotated"]["secret"], tills["rotated"]["old"]):
        assert (await upgraded.live.client_token(tills["rotated"]["id"], secret)).status_code == 200
    disabled = await upgraded.live.client_token(tills["disabled"]["id"], tills["disabled"]["secret"])
    assert disabled.status_code == 401


async def test_one_time_passwords_that_waited_were_sent_and_are_good(upgraded: Upgraded) -> None:
    live, waiting = upgraded.live, upgraded.dump.content["otps_under_way"]
    proofs = {
        name: {"otp_id": otp_id, "code": await live.sms.code(otp_id)} for name, otp_id in waiting.items()
    }
    joined = await live.ok("POST", "/v1/members", {"otp": proofs["newcomer"], "full_name": "Grace Hopper"})
    won = await _won(live, joined["token"]["access_token"])
    assert [one["campaign_id"] for one in won] == [upgraded.known["campaign"]]
    logged_in = await live.ok("POST", "/v1/sessions", {"otp": proofs["expiring"]})
    await _is_welcome(live, logged_in["token"]["access_token"])


async def test_who_left_before_wins_no_second_place(upgraded: Upgraded) -> None:
    live = upgraded.live
    otp = await live.otp(upgraded.dump.content["people"]["closed"]["phone"])
    again = await live.member(otp)
    await live.at_rest(REST_SECONDS)
    mine = await live.ok("GET", "/v1/members/me/rewards", token=again.token)
    assert mine["rewards"] == []


async def _won(live: Retailer, token: str) -> list[dict[str, Any]]:
    async def won() -> list[dict[str, Any]]:
        mine = await live.ok("GET", "/v1/members/me/rewards", token=token)
        assert mine["rewards"]
        found: list[dict[str, Any]] = mine["rewards"]
        return found

    return await eventually(won, WIN_SECONDS)


# ---------------------------------------------------------------------------- new business


async def test_old_members_shop_and_buy_as_ever(upgraded: Upgraded) -> None:
    live, till = upgraded.live, upgraded.tokens["till"]
    member = upgraded.member("importee")
    before = await live.balance(member)
    lines = (line(10_000, category="coffee"), line(5_000, category="tobacco"), line(5_000))
    told = await live.ok("POST", "/v1/purchases", sale(member, *lines), token=till)
    assert told["purchase"]["points"] == 35
    assert await live.balance(member) == told["balance_after"] == before + 35
    for which in ("voucher", "voucher_half_made", "voucher_unheard"):
        bought = await live.bought(member, upgraded.known[which])
        used = {"code": bought["code"], "sale_reference": unique()}
        first = await live.ok("POST", "/v1/codes:redeem", used, token=till)
        assert await live.ok("POST", "/v1/codes:redeem", used, token=till) == first
    assert await live.balance(member) == before + 35 - 1_500


async def test_old_codes_are_good_unless_they_were_used(upgraded: Upgraded) -> None:
    till = upgraded.tokens["till"]
    for which in ("code", "won_code", "taken_back_code"):
        sold = {"code": upgraded.known[which], "sale_reference": unique()}
        await upgraded.live.ok("POST", "/v1/codes:redeem", sold, token=till)
    sold = {"code": upgraded.known["used_code"], "sale_reference": unique()}
    refused = await upgraded.live.refused("POST", "/v1/codes:redeem", sold, token=till)
    assert refused.reason == "CODE_ALREADY_USED"


async def test_old_receipts_are_claimed_and_old_goods_come_back_by_the_rules_of_then(
    upgraded: Upgraded,
) -> None:
    live, member = upgraded.live, upgraded.member("debited")
    code = {"claim_code": upgraded.known["claim_code"]}
    claimed = await live.ok("POST", "/v1/members/me/purchases:claim", code, token=member.token)
    assert claimed["purchase"]["points"] >= 42
    path = f"/v1/purchases/{upgraded.known['purchase']}:refund"
    told = await live.ok("POST", path, refund((1, 1)), token=upgraded.tokens["till"])
    # Coffee counted double then, and thrice today; the total was rounded down once.
    assert told["refund"]["points"] in (25, 26)


# ---------------------------------------------------------------------------- the books


async def test_all_books_agree(upgraded: Upgraded) -> None:
    live = upgraded.live
    await live.at_rest(REST_SECONDS)
    invariants.check(live.databases)
    await asyncio.to_thread(_check_books, live.stack)


def _check_books(stack: RunningStack) -> None:
    """Runs the command that proves the books, in points' own environment."""
    words = Path(f"/proc/{stack.pid('points')}/environ").read_text().split("\0")
    environment = dict(word.split("=", 1) for word in words if word)
    command = [sys.executable, "-m", "services.points", "check-books"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=BOOKS_SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
