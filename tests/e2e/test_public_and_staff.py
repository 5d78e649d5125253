"""What anybody may read without a login, and what staff see of all orders and redemptions, over REST."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from tests.e2e.tokens import faulty_tokens, signing_keys
from tests.platform import Member, Platform, unique

OK = 200


@pytest.mark.covers("V1 ShopService.ListOffers", "V1 ShopService.GetOffer")
async def test_offers_are_public_and_no_token_hides_them(live: Platform, ada: Member) -> None:
    voucher = await live.voucher(1)
    keys = await signing_keys(live.stack)
    tokens = {name: token for name, (token, _) in faulty_tokens(keys, ada.token).items()}
    for name, token in {"good": ada.token, **tokens}.items():
        offer = await live.call("GET", f"/v1/offers/{voucher}", token=token)
        assert offer.status_code == OK, name
        assert offer.json()["offer"]["quantity_left"] == 1
        assert offer.headers["cache-control"] == "public, max-age=5"
        assert "origin" in offer.headers["vary"].lower()
        offers = await live.call("GET", "/v1/offers?page_size=1", token=token)
        assert offers.json()["offers"] == [offer.json()["offer"]], name
    refused = await live.call("GET", f"/v1/offers/{unique()}")
    assert (refused.status_code, refused.headers["cache-control"]) == (400, "no-store")
    watching = await live.refused("GET", f"/v1/offers/{voucher}/quantity:watch")
    assert (watching.status, watching.reason) == (401, "TOKEN_MISSING")


async def _file(live: Platform, path: str, name: str) -> list[dict[str, str]]:
    """Returns the rows of a CSV file that is whole."""
    answer = await live.call("GET", path, token=live.admin)
    assert answer.status_code == OK, answer.text
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}.csv"'
    assert answer.headers["cache-control"] == "no-store"
    header, *rows, end = csv.reader(io.StringIO(answer.content.decode("utf-8-sig"), newline=""))
    assert end == ["#end", str(len(rows))]
    return [dict(zip(header, row, strict=True)) for row in rows]


@pytest.mark.covers(
    "V3 OrderService.ListOrders",
    "V3 OrderService.ExportOrders",
    "C2 CodeService.ListRedemptions",
    "C2 CodeService.ExportRedemptions",
)
async def test_staff_see_the_orders_and_redemptions_of_all_members_as_pages_and_files(
    live: Platform, till: str
) -> None:
    voucher, admin = await live.voucher(2), live.admin
    owned: list[dict[str, Any]] = []
    for number in ("1", "2"):
        member = await live.member()
        await live.give(till, member, 500)
        owned.append(await live.bought(member, voucher))
        sale = {"code": owned[-1]["code"], "sale_reference": "R-1", "till_number": number}
        await live.ok("POST", "/v1/codes:redeem", sale, token=till)
    orders = await live.ok("GET", f"/v1/orders?voucher_id={voucher}&order_by=placed_at", token=admin)
    assert [order["id"] for order in orders["orders"]] == [one["order_id"] for one in owned]
    newest = await live.ok(
        "GET", f"/v1/orders?voucher_id={voucher}&order_by=placed_at%20desc&with_total=true", token=admin
    )
    assert newest["orders"] == orders["orders"][::-1]
    assert newest["total"] == {"count": 2, "more": False}
    order = orders["orders"][0]
    assert (await live.ok("GET", f"/v1/orders/{order['id']}", token=admin))["order"] == order
    rows = await _file(live, f"/v1/orders:export?voucher_id={voucher}", "orders")
    assert [row["id"] for row in rows] == [order["id"] for order in newest["orders"]]

    used = await live.ok("GET", f"/v1/redemptions?code_set_id={voucher}&cancelled=false", token=admin)
    assert [one["till_number"] for one in used["redemptions"]] == ["2", "1"]
    rows = await _file(live, f"/v1/redemptions:export?code_set_id={voucher}", "redemptions")
    assert [(row["till_number"], row["sale_reference"]) for row in rows] == [("2", "R-1"), ("1", "R-1")]


@pytest.mark.covers("C3 CampaignService.PauseCampaign")
async def test_a_change_by_an_old_etag_is_409(live: Platform) -> None:
    campaign = await live.campaign(1)
    path = f"/v1/campaigns/{campaign}"
    read = (await live.ok("GET", path, token=live.admin))["campaign"]
    by = {"etag": read["etag"]}
    paused = (await live.ok("POST", f"{path}:pause", by, token=live.admin))["campaign"]
    refused = await live.refused("POST", f"{path}:resume", by, token=live.admin)
    assert (refused.status, refused.reason) == (409, "ETAG_MISMATCH")
    assert refused.metadata == {"etag": paused["etag"]}
    await live.ok("POST", f"{path}:end", {"etag": paused["etag"]}, token=live.admin)


@pytest.mark.covers("C4 RewardService.ListMyRewards", "C4 RewardService.GetMyReward")
async def test_a_member_finds_its_rewards_by_state_and_id(live: Platform, till: str) -> None:
    campaign = await live.campaign(1)
    member = await live.member()
    [reward] = [one for one in await live.rewards(member) if one["campaign_id"] == campaign]
    assert reward["state"] == "REWARD_STATE_USABLE"
    sale = {"code": reward["code"], "sale_reference": unique()}
    await live.ok("POST", "/v1/codes:redeem", sale, token=till)
    path = "/v1/members/me/rewards"
    used = await live.ok("GET", f"{path}?state=REWARD_STATE_USED", token=member.token)
    assert [one["id"] for one in used["rewards"]] == [reward["id"]]
    read = await live.ok("GET", f"{path}/{reward['id']}", token=member.token)
    assert read["reward"].pop("used_at") > reward["won_at"]
    assert read["reward"] == reward | {"state": "REWARD_STATE_USED"}
