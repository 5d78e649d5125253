"""A brand's discount from end to end over REST: codes are made, a member claims one, the brand is told."""

from __future__ import annotations

import pytest

from tests.e2e.people import staff
from tests.platform import Platform, eventually, unique
from tests.receiver import Post, Receiver


@pytest.mark.covers("C6")
async def test_a_member_claims_a_brands_code_and_the_brand_has_it_signed(  # a story
    live: Platform,
) -> None:
    named = {"name": f"Golden Crust {unique()}", "category": "Bakeries"}
    made = await live.ok("POST", "/v1/brands", named, token=live.admin, key=unique())
    brand_id = made["brand"]["brand"]["id"]
    brand = f"/v1/brands/{brand_id}"
    await live.ok("POST", f"{brand}:publish", {}, token=live.admin)
    manager = (await staff(live, "BRAND_MANAGER", brand_id=brand_id)).token

    receiver = Receiver()
    async with receiver.listening():
        hook = {"url": receiver.url, "event_types": ["claim.created"]}
        secret = (await live.ok("POST", f"{brand}/webhooks", hook, token=manager))["secret"]
        wanted = {"name": "30 % off bread", "quantity": 2, "benefit": {"percent_off": 30}}
        draft = await live.ok("POST", f"{brand}/discounts", wanted, token=manager, key=unique())
        discount = f"{brand}/discounts/{draft['discount']['id']}"

        async def codes_made() -> None:
            assert (await live.ok("GET", discount, token=manager))["discount"]["codes_made"] == 2

        await eventually(codes_made)
        await live.ok("POST", f"{discount}:activate", {}, token=manager)
        [offered] = (await live.ok("GET", f"/v1/discounts?brand_id={brand_id}"))["discounts"]
        assert (await live.ok("GET", f"/v1/discounts/{offered['id']}"))["discount"] == offered | {"left": 2}

        member = await live.member()
        refused = await live.refused("POST", f"{discount}:claim", {}, token=member.token, key=unique())
        assert refused.reason == "CONSENT_REQUIRED"
        consent = {"shares_contact": True, "wording_version": "1"}
        await live.ok("PUT", "/v1/members/me/consent", consent, token=member.token)
        claim, again = [
            (await live.ok("POST", f"{discount}:claim", {}, token=member.token, key="mine"))["claim"]
            for _ in range(2)
        ]
        assert claim == again

        async def told() -> Post:
            assert len(receiver.posts) == 1
            return receiver.posts[0]

        sent = (await eventually(told)).verified(secret)
    assert sent["type"] == "claim.created"
    assert sent["data"]["claim_id"] == claim["id"]
    assert sent["data"]["code"] == claim["code"]
    assert sent["data"]["contact"] == {"full_name": "Ada Lovelace", "phone": member.phone, "email": ""}
    listed = await live.ok("GET", f"{brand}/claims?with_contacts=true", token=manager)
    assert listed["claims"][0]["contact"]["phone"] == member.phone
    mine = await live.ok("GET", "/v1/members/me/claims", token=member.token)
    assert mine["claims"] == [claim]
    exported = await live.call("GET", f"{brand}/claims:export", token=manager)
    assert exported.text.endswith('"#end","1"\r\n')
    await _assert_brand_learns_of_its_redemption(live, brand, manager, claim["code"])


async def _assert_brand_learns_of_its_redemption(live: Platform, brand: str, manager: str, code: str) -> None:
    sale = {"code": code, "sale_reference": unique()}
    redeemed = (await live.ok("POST", "/v1/codes:redeem", sale, token=await live.till()))["redemption"]
    used = await live.ok("GET", f"{brand}/redemptions?with_total=true", token=manager)
    assert [(one["id"], one["code"]) for one in used["redemptions"]] == [(redeemed["id"], code)]
    assert used["total"]["count"] == 1
    exported = await live.call("GET", f"{brand}/redemptions:export", token=manager)
    assert redeemed["id"] in exported.text
    assert exported.text.endswith('"#end","1"\r\n')
