"""Codes, brands and promo points before a dump: what is finished, and what is half done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg

from tests import invariants
from tests.platform import eventually, unique
from tests.upgrades.posted import BrandReceiver
from tests.upgrades.retailer import PASSWORD
from tests.upgrades.story import PLACES, Story

BASKET = [
    {"sku": "30", "category": "cheese", "unit_price_minor": "1999", "quantity_milli": 345},
    {"sku": "31", "category": "bakery", "unit_price_minor": "500", "quantity": 3, "total_minor": "1000"},
]
WORK_SECONDS = 30.0


class PromosStory:
    """What callers did, as far as they remember it. Calls that can be repeated go to the story."""

    def __init__(self, story: Story, receiver: BrandReceiver) -> None:
        self.story = story
        self.live = story.live
        self.receiver = receiver
        self.known: dict[str, str] = {"receiver": receiver.url}
        """Ids, codes and secrets, by what they are."""
        self._brand = ""
        """The token of the brand's manager."""

    async def tell(self) -> None:
        """Everything that is finished before the dump."""
        for name in ("ada", "claimer", "gifted"):
            await self.live.rewards(self.story.members[name])  # then promos knows them
        await self._hand_out()
        await self._import()
        await self._redeem()
        await self._give()
        await self._open_brand()
        await self._claim("ada", "delivered_claim")
        await self._delivered(self.known["delivered_claim"])
        changes = {"places": PLACES + 5, "description": "More of them"}
        await self.live.ok("PATCH", self._campaign, changes, token=self.live.admin)

    async def leave(self, stop: Callable[[str], None]) -> None:
        """A delivery was refused and waits, a set has half of its codes, and the worker of both is silent."""
        self.receiver.takes = False
        await self._claim("claimer", "pending_claim")
        await self.receiver.wait_refused()
        await self._make_half(stop)
        rows = invariants.rows(
            self.live.databases["promos"],
            "SELECT attempts FROM webhook_deliveries WHERE state = 'PENDING'",
        )
        assert rows == [{"attempts": 1}], (
            "the second attempt came first, and the third waits long: make it again"
        )

    async def reads(self) -> dict[str, Any]:
        """Returns what the admin reads of all this, by path."""
        known, brand = self.known, f"/v1/brands/{self.known['brand']}"
        paths = (
            f"/v1/code-sets/{known['flyer']}",
            f"/v1/code-sets/{known['flyer']}/codes",
            f"/v1/code-sets/{known['imported']}/codes",
            f"/v1/code-imports/{known['import']}",
            f"/v1/codes/{known['redeemed_code_id']}/history",
            f"/v1/redemptions?code_set_id={known['flyer']}",
            f"/v1/promos/{known['promo']}",
            f"/v1/promos/{known['promo']}/uses",
            f"/v1/promos/{known['deleted_promo']}",
            f"/v1/promos/{known['deleted_promo']}/uses",
            f"{brand}:manage",
            f"{brand}/discounts/{known['discount']}",
            f"{brand}/claims?with_contacts=true",
            f"/v1/stores/{known['store']}:manage",
            self._campaign,
        )
        return {path: await self.live.ok("GET", path, token=self.live.admin) for path in paths}

    @property
    def _campaign(self) -> str:
        return f"/v1/campaigns/{self.story.known['campaign']}"

    async def _new_set(self, name: str, **fields: Any) -> str:
        body = {"name": name, "benefit": {"percent_off": 10}} | fields
        made = await self.story.keep("admin", "POST", "/v1/code-sets", body, unique())
        return str(made["code_set"]["id"])

    async def _codes(self, code_set_id: str) -> list[dict[str, Any]]:
        """Returns the codes of a set, as soon as all are there."""

        async def ready() -> None:
            read = await self.live.ok("GET", f"/v1/code-sets/{code_set_id}", token=self.live.admin)
            assert read["code_set"]["state"] == "CODE_SET_STATE_READY"

        await eventually(ready, WORK_SECONDS)
        path = f"/v1/code-sets/{code_set_id}/codes"
        codes: list[dict[str, Any]] = (await self.live.ok("GET", path, token=self.live.admin))["codes"]
        return codes

    async def _hand_out(self) -> None:
        """A set of codes for whoever brings them, each member once; and one that will be half made."""
        pattern = f"FLY{unique()[:4].replace('0', 'X')}-####-@@@@"
        flyer = await self._new_set("Flyer", quantity=5, pattern=pattern, uses_allowed=3, uses_per_member=1)
        codes = await self._codes(flyer)
        names = ("redeemed_code", "cancelled_code", "basket_code", "new_code", "withdrawn_code")
        self.known |= {name: code["code"] for name, code in zip(names, codes, strict=True)}
        self.known |= {"flyer": flyer, "redeemed_code_id": codes[0]["id"]}
        note = {"note": "Printed twice"}
        await self.live.ok("POST", f"/v1/codes/{codes[4]['id']}:void", note, token=self.live.admin)
        half_made = await self._new_set("Half made", quantity=20)
        await self._codes(half_made)
        self.known["half_made"] = half_made

    async def _import(self) -> None:
        """Codes from elsewhere, for first purchases; one line of the file is refused."""
        benefit = {
            "amount_off": {"currency_code": "USD", "amount_minor": "500"},
            "first_purchase_only": True,
        }
        code_set_id = await self._new_set("Welcome", import_only=True, benefit=benefit)
        first, second = f"WELCOME-{unique()}-1", f"WELCOME-{unique()}-2"
        content = f"code,uses\n{first},\n{second},5\n=1+1,\n"
        path = f"/v1/code-sets/{code_set_id}/imports"
        told = await self.story.keep("admin", "POST", path, content, unique())
        assert told["code_import"]["imported"] == 2
        self.known |= {"imported": code_set_id, "import": told["code_import"]["id"]}
        self.known |= {"first_purchase_code": first, "other_first_purchase_code": second}

    async def _redeem(self) -> None:
        """One code redeemed, one redeemed and taken back, and a first purchase with two codes."""
        story, known = self.story, self.known
        sale = {"code": known["redeemed_code"], "sale_reference": "F-1"}
        sale["member_code"] = story.members["ada"].code
        await story.keep("till", "POST", "/v1/codes:redeem", sale)
        sale = {"code": known["cancelled_code"], "sale_reference": "F-2"}
        sale["member_code"] = story.members["claimer"].code
        told = await self.live.ok("POST", "/v1/codes:redeem", sale, token=story.token("till"))
        await story.keep("till", "POST", f"/v1/redemptions/{told['redemption']['id']}:cancel", {})
        basket = {
            "lines": BASKET,
            "currency_code": "USD",
            "codes": [known["first_purchase_code"], known["basket_code"]],
            "member_code": story.members["gifted"].code,
            "sale_reference": "F-3",
        }
        told = await story.keep("till", "POST", "/v1/baskets:redeem", basket)
        # 10 % of 16.90 are 1.69; then 5.00 off.
        assert told["discount"]["amount_minor"] == "669", told

    async def _give(self) -> None:
        """Promo points that are given, used in the app and at the till, and given back; one is deleted."""
        story, member = self.story, self.story.members["gifted"]
        for name, amount in (("deleted_promo", "40"), ("promo", "100")):
            body = {
                "member_id": member.id,
                "type": "PROMO_TYPE_COMPENSATION",
                "description": "Sorry for the wait",
                "amount": amount,
            }
            given = await story.keep("admin", "POST", "/v1/promos", body, unique())
            promo_id = self.known[name] = given["promo"]["id"]
            path = f"/v1/members/me/promos/{promo_id}:use"
            await story.keep("gifted", "POST", path, {"amount": "30"}, unique())
            if name == "deleted_promo":
                await self.live.ok("DELETE", f"/v1/promos/{promo_id}", token=self.live.admin)
        sale = {"member_code": member.code, "amount": "20", "sale_reference": "F-4"}
        await story.keep("till", "POST", "/v1/promos:use", sale)
        sale = {"member_code": member.code, "amount": "10", "sale_reference": "F-5"}
        used = await self.live.ok("POST", "/v1/promos:use", sale, token=story.token("till"))
        await story.keep("till", "POST", f"/v1/promo-uses/{used['promo_use_id']}:cancel", {})

    async def _open_brand(self) -> None:
        """A brand with its manager, who opens a store, a discount and a webhook with two secrets."""
        live, known = self.live, self.known
        page = {"name": f"Rosenthal Bakery {unique()}", "category": "Bakery", "description": "Since 1904."}
        made = await self.story.keep("admin", "POST", "/v1/brands", page, unique())
        known |= {"brand": made["brand"]["brand"]["id"], "brand_name": page["name"]}
        self._brand = await self._new_manager(known["brand"])
        path = f"/v1/brands/{known['brand']}"
        store = {
            "name": f"{page['name']}, Old Town",
            "address": {"line": "Baker Street 1", "city": "Springfield", "country": "US"},
            "position": {"latitude": 39.8, "longitude": -89.6},
            "time_zone": "America/Chicago",
        }
        told = await live.ok("POST", f"{path}/stores", store, token=self._brand, key=unique())
        known["store"] = told["store"]["store"]["id"]
        await live.ok("POST", f"{path}:publish", {}, token=self._brand)
        discount = {
            "name": "20 % off all bread",
            "benefit": {"percent_off": 20, "categories": ["bakery"]},
            "quantity": 10,
        }
        told = await live.ok("POST", f"{path}/discounts", discount, token=self._brand, key=unique())
        known["discount"] = told["discount"]["id"]
        await self._codes(known["discount"])
        await live.ok("POST", f"{path}/discounts/{known['discount']}:activate", {}, token=self._brand)
        wanted = {"url": self.receiver.url, "event_types": ["claim.created"]}
        told = await live.ok("POST", f"{path}/webhooks", wanted, token=self._brand)
        known |= {"webhook": told["webhook"]["id"], "old_webhook_secret": told["secret"]}
        turned = f"{path}/webhooks/{known['webhook']}:rotateSecret"
        told = await live.ok("POST", turned, {"overlap_hours": 24}, token=self._brand)
        known["webhook_secret"] = told["secret"]

    async def _new_manager(self, brand_id: str) -> str:
        """Returns the token of the brand's new manager."""
        person = {
            "user_name": f"brand_manager-{unique()}",
            "full_name": "Rosa Rosenthal",
            "role": "ROLE_BRAND_MANAGER",
            "password": PASSWORD,
            "brand_id": brand_id,
        }
        await self.live.ok("POST", "/v1/staff", person, token=self.live.admin)
        self.story.staff["BRAND_MANAGER"] = person["user_name"]
        return str((await self.live.log_in(person["user_name"])).json()["token"]["access_token"])

    async def _claim(self, who: str, name: str) -> None:
        """A member agrees to share contact data, and claims a code."""
        agreed = {"shares_contact": True, "wording_version": "1"}
        await self.live.ok("PUT", "/v1/members/me/consent", agreed, token=self.story.members[who].token)
        path = f"/v1/brands/{self.known['brand']}/discounts/{self.known['discount']}:claim"
        told = await self.story.keep(who, "POST", path, {}, unique())
        self.known |= {name: told["claim"]["id"], f"{name}_code": told["claim"]["code"]}

    async def _delivered(self, claim_id: str) -> None:
        path = f"/v1/brands/{self.known['brand']}/webhooks/{self.known['webhook']}/deliveries"

        async def succeeded() -> None:
            listed = await self.live.ok("GET", path, token=self._brand)
            [delivery] = listed["deliveries"]
            assert (delivery["subject_id"], delivery["state"]) == (claim_id, "DELIVERY_STATE_SUCCEEDED")

        await eventually(succeeded, WORK_SECONDS)

    async def _make_half(self, stop: Callable[[str], None]) -> None:
        """Twenty more codes are wanted, and the worker falls silent with its hands on them."""
        databases, code_set_id = self.live.databases, self.known["half_made"]
        begun = (
            "SELECT id FROM procrastinate_jobs"
            f" WHERE status = 'doing' AND args ->> 'code_set_id' = '{code_set_id}'"
        )

        async def under_way() -> None:
            assert invariants.rows(databases["promos"], begun)

        with psycopg.connect(databases["promos"]) as connection:
            connection.execute("LOCK TABLE codes IN SHARE MODE")  # no code is kept meanwhile
            more, path = {"quantity": 40}, f"/v1/code-sets/{code_set_id}"
            await self.live.ok("PATCH", path, more, token=self.live.admin)
            await eventually(under_way, WORK_SECONDS)
            stop("promos-worker")
