"""Codes, brands and promo points of an earlier version: all there, and good for what they were."""

from __future__ import annotations

from typing import Any

import httpx

from tests import invariants
from tests.platform import eventually, refusal, unique
from tests.upgrades.promos_story import BASKET
from tests.upgrades.upgraded import REST_SECONDS, Upgraded, missing, without_clock

Known = dict[str, str]
DELIVERED_SECONDS = 60.0
_READ_ALIKE = str.maketrans("OIL", "011")


async def _redeem(upgraded: Upgraded, code: str, who: str = "", **fields: Any) -> httpx.Response:
    """Redeems a code at the old till, for a member who shows its code."""
    sale = {"code": code, "sale_reference": unique()} | fields
    if who:
        sale["member_code"] = upgraded.person(who)["code"]
    return await upgraded.live.call("POST", "/v1/codes:redeem", sale, token=upgraded.tokens["till"])


def _basket(*codes: str, **fields: Any) -> dict[str, Any]:
    return {"lines": BASKET, "currency_code": "USD", "codes": codes} | fields


def _as_read(value: Any) -> Any:
    """Returns a response with codes as tills read them, for they are shown with a pattern's letters now."""
    if isinstance(value, dict):
        return {
            name: one.translate(_READ_ALIKE) if name == "code" and isinstance(one, str) else _as_read(one)
            for name, one in value.items()
        }
    return [_as_read(one) for one in value] if isinstance(value, list) else value


async def test_what_was_there_reads_as_it_did(upgraded: Upgraded, promos: Known) -> None:
    then = upgraded.dump.content["reads"]
    assert any(promos["flyer"] in path for path in then)
    lost = {
        path: what
        for path, old in then.items()
        if (what := missing(_as_read(without_clock(old)), _as_read(without_clock(upgraded.reads[path]))))
    }
    assert lost == {}


async def test_a_half_made_set_was_finished(upgraded: Upgraded, promos: Known) -> None:
    live, code_set_id = upgraded.live, promos["half_made"]
    read = (await live.ok("GET", f"/v1/code-sets/{code_set_id}", token=live.admin))["code_set"]
    assert (read["quantity"], read["made"], read["state"]) == (40, 40, "CODE_SET_STATE_READY")
    listed = await live.ok("GET", f"/v1/code-sets/{code_set_id}/codes", token=live.admin)
    assert len({code["code"] for code in listed["codes"]}) == 40
    audited = await live.ok("GET", f"/v1/audit-entries?target_id={code_set_id}", token=live.admin)
    assert [entry["action"] for entry in audited["entries"]] == ["code_set.updated", "code_set.created"]


async def test_codes_that_were_handed_out_are_good_once_for_each_member(
    upgraded: Upgraded, promos: Known
) -> None:
    for code, who, reason in (
        ("new_code", "ada", "CODE_MEMBER_LIMIT"),
        ("new_code", "", "MEMBER_REQUIRED"),
        ("withdrawn_code", "poor", "CODE_VOID"),
    ):
        assert refusal(await _redeem(upgraded, promos[code], who)).reason == reason
    sale = unique()  # this member's redemption was cancelled
    first = await _redeem(upgraded, promos["cancelled_code"], "claimer", sale_reference=sale)
    again = await _redeem(upgraded, promos["cancelled_code"], "claimer", sale_reference=sale)
    assert (first.status_code, again.content) == (200, first.content)
    over = await _redeem(upgraded, promos["new_code"], "claimer")
    assert refusal(over).reason == "CODE_MEMBER_LIMIT"


async def test_a_first_purchase_was_the_first(upgraded: Upgraded, promos: Known) -> None:
    live, code = upgraded.live, promos["other_first_purchase_code"]
    body = _basket(code, member_code=upgraded.person("gifted")["code"], sale_reference=unique())
    refused = await live.refused("POST", "/v1/baskets:redeem", body, token=upgraded.tokens["till"])
    assert refused.reason == "NOT_FIRST_PURCHASE"
    newcomer = await live.member()
    quote = await live.ok("POST", "/v1/baskets:quote", _basket(code), token=newcomer.token)
    assert quote["discount"]["amount_minor"] == "500"


async def test_promo_points_that_were_left_are_used_to_the_last(upgraded: Upgraded, promos: Known) -> None:
    live, token = upgraded.live, upgraded.tokens["gifted"]
    mine = await live.ok("GET", "/v1/members/me/promos", token=token)
    assert [(one["id"], one["remaining"]) for one in mine["promos"]] == [(promos["promo"], "50")]
    path = f"/v1/members/me/promos/{promos['promo']}:use"
    over = await live.refused("POST", path, {"amount": "51"}, token=token, key=unique())
    assert over.reason == "PROMO_POINTS_INSUFFICIENT"
    told = await live.ok("POST", path, {"amount": "50"}, token=token, key=unique())
    assert told["use"]["remaining"] == "0"
    deleted = f"/v1/members/me/promos/{promos['deleted_promo']}:use"
    refused = await live.refused("POST", deleted, {"amount": "1"}, token=token, key=unique())
    assert refused.reason == "PROMO_DELETED"


async def test_anybody_finds_the_old_store_and_its_manager_sees_the_own_brand_alone(
    upgraded: Upgraded, promos: Known
) -> None:
    live = upgraded.live
    around = "/v1/stores?query=rosental+bakrey&latitude=39.8&longitude=-89.6&radius_meters=5000"
    found = await live.ok("GET", around)
    assert [one["store"]["id"] for one in found["stores"]] == [promos["store"]]
    manager = await live.log_in(upgraded.dump.content["staff"]["BRAND_MANAGER"])
    token = manager.json()["token"]["access_token"]
    listed = await live.ok("GET", f"/v1/brands/{promos['brand']}/claims", token=token)
    assert {promos["delivered_claim"], promos["pending_claim"]} <= {one["id"] for one in listed["claims"]}
    other = {"name": f"Brand {unique()}", "category": "Bakery"}
    made = await live.ok("POST", "/v1/brands", other, token=live.admin)
    path = f"/v1/brands/{made['brand']['brand']['id']}/claims"
    assert (await live.refused("GET", path, token=token)).reason == "BRAND_NOT_YOURS"


async def test_a_delivery_that_waited_arrives_signed_by_both_secrets(
    upgraded: Upgraded, promos: Known
) -> None:
    live, posts = upgraded.live, upgraded.receiver.posts
    deliveries = f"/v1/brands/{promos['brand']}/webhooks/{promos['webhook']}/deliveries"

    async def ended() -> dict[str, Any]:
        listed = (await live.ok("GET", deliveries, token=live.admin))["deliveries"]
        found = {one["subject_id"]: one for one in listed}
        assert {one["state"] for one in found.values()} == {"DELIVERY_STATE_SUCCEEDED"}
        return found

    found = await eventually(ended, DELIVERED_SECONDS)
    delivered, waited = (found[promos[name]] for name in ("delivered_claim", "pending_claim"))
    assert (delivered["attempt_count"], waited["attempt_count"]) == (1, 2)
    assert delivered["id"] not in {post.id for post in posts}
    [post] = [post for post in posts if post.id == waited["id"]]
    told = post.verified(promos["webhook_secret"])
    assert post.verified(promos["old_webhook_secret"]) == told
    claimer = upgraded.person("claimer")
    claim, contact = told["data"], told["data"]["contact"]
    assert (claim["claim_id"], claim["code"]) == (promos["pending_claim"], promos["pending_claim_code"])
    assert (claim["member_id"], contact["phone"]) == (claimer["id"], claimer["phone"])


async def test_the_old_discount_goes_on(upgraded: Upgraded, promos: Known) -> None:
    live, member = upgraded.live, upgraded.member("placed")
    path = f"/v1/brands/{promos['brand']}/discounts/{promos['discount']}:claim"
    again = await live.refused("POST", path, {}, token=upgraded.tokens["ada"], key=unique())
    assert again.reason == "ALREADY_CLAIMED"
    unasked = await live.refused("POST", path, {}, token=member.token, key=unique())
    assert unasked.reason == "CONSENT_REQUIRED"
    agreed = {"shares_contact": True, "wording_version": "1"}
    await live.ok("PUT", "/v1/members/me/consent", agreed, token=member.token)
    claim = (await live.ok("POST", path, {}, token=member.token, key=unique()))["claim"]
    body = _basket(claim["code"], sale_reference=unique())
    redeemed = await live.ok("POST", "/v1/baskets:redeem", body, token=upgraded.tokens["till"])
    assert redeemed["discount"]["amount_minor"] == "200"  # 20 % of the bread

    async def told() -> None:
        assert [post for post in upgraded.receiver.posts if claim["id"].encode() in post.body]

    await eventually(told, DELIVERED_SECONDS)
    await live.at_rest(REST_SECONDS)
    invariants.check(live.databases)
