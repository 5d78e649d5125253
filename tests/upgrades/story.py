"""What a platform has done before it is dumped: the part that came to its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.e2e.points import line, refund, sale
from tests.platform import Member, eventually, unique
from tests.upgrades.retailer import PASSWORD, Retailer

PRICE = 500
PLACES = 40
RULE_SECONDS = 10.0
REST_SECONDS = 30.0
FAR = "2100-01-01T00:00:00Z"
SHOPPERS = {
    "ada": 1_800,  # owns codes in every state
    "debtor": 600,
    "suspended": 30,
    "closed": 40,
    "suspended_unheard": 30,
    "closed_unheard": 40,
    "claimer": 10,
    "importee": 1_500,
    "expiring": 150,
    "poor": 10,
    "placed": 700,
    "debited": 700,
    "without_codes": 700,
    "refused": 700,
    "gifted": 0,  # has never shopped, and has promo points
    "buyer": 100,  # pays with money as well
    "receiver": 0,  # has a gift of the buyer
}
"""Who is there, and how many points they get by shopping."""

Call = dict[str, Any]


class Story:
    """What callers did, as far as they remember it."""

    def __init__(self, live: Retailer) -> None:
        self.live = live
        self.members: dict[str, Member] = {}
        self.people: dict[str, dict[str, Any]] = {}
        self.tills: dict[str, dict[str, str]] = {}
        self.staff: dict[str, str] = {}
        self.calls: list[Call] = []
        """Calls whose repetition gets the same response, with that response."""
        self.known: dict[str, str] = {}
        """Ids and codes, by what they are."""
        self._till = ""

    async def tell(self) -> None:
        """Everything that is finished before the dump, and at rest."""
        await self._open()
        for name in SHOPPERS:
            await self.join(name, phone=True)
        for name, points in SHOPPERS.items():
            await self.live.give(self._till, self.members[name], points)
        await self._shop()
        await self._spend()
        await self._redeem()
        await self._leave()
        await self.live.at_rest(REST_SECONDS)
        winners = await self.live.winners(self.known["campaign"])
        assert len(winners) == len(SHOPPERS)

    async def keep(self, who: str, method: str, path: str, body: Any, key: str = "") -> Any:
        """Makes a call and keeps it with its response. Returns the response."""
        call: Call = {"who": who, "method": method, "path": path, "body": body, "key": key}
        answer = await self.live.send(self.token(who), call)
        assert answer.status_code < 500, answer.text
        self.calls.append(call | {"status": answer.status_code, "answer": answer.json()})
        return answer.json()

    def token(self, who: str) -> str:
        """Returns the token of a member, the till or the admin."""
        if who in self.members:
            return self.members[who].token
        return {"till": self._till, "admin": self.live.admin}[who]

    async def join(self, name: str, *, phone: bool) -> Member:
        """Returns a new member, who can log in by user name and password too."""
        otp = await self.live.otp() if phone else None
        wanted = {"full_name": "Ada Lovelace", "user_name": f"{name}-{unique()}", "password": PASSWORD}
        proof = {"otp": otp.proof} if otp else {}
        device = f"phone of {name}"
        made = await self.live.ok("POST", "/v1/members", wanted | proof | {"device_id": device})
        access, refresh = made["token"]["access_token"], made["token"]["refresh_token"]
        code = (await self.live.ok("GET", "/v1/members/me/code", token=access))["member_code"]
        member = Member(made["member"]["id"], code, access, otp.phone if otp else "", refresh)
        self.members[name] = member
        self.people[name] = {
            "id": member.id,
            "code": code,
            "phone": member.phone,
            "user_name": wanted["user_name"],
            "access_token": access,
            "refresh_token": refresh,
            "device_id": device,
        }
        return member

    async def new_voucher(self, quantity: int) -> str:
        """Makes a voucher by a kept call. Returns its id."""
        body = {
            "title": f"Coupon {unique()}",
            "description": "Show its code at the till.",
            "face_value": {"currency_code": "USD", "amount_minor": "500"},
            "price_points": PRICE,
            "quantity": quantity,
            "codes_expire_at": FAR,
        }
        return str((await self.keep("admin", "POST", "/v1/vouchers", body, unique()))["voucher"]["id"])

    async def purchase(self, body: dict[str, Any]) -> Any:
        """Records a receipt by a kept call. Returns the response."""
        return await self.keep("till", "POST", "/v1/purchases", body)

    async def _open(self) -> None:
        """Tills, staff, rules, an offer and a campaign."""
        live = self.live
        for name in ("till", "rotated", "disabled"):
            made = await live.ok(
                "POST", "/v1/clients", {"display_name": f"Till {unique()}"}, token=live.admin
            )
            self.tills[name] = {"id": made["client"]["id"], "secret": made["client_secret"]}
        turned = await live.ok(
            "POST",
            f"/v1/clients/{self.tills['rotated']['id']}:rotateSecret",
            {"overlap_seconds": 86_400},
            token=live.admin,
        )
        self.tills["rotated"] |= {"secret": turned["client_secret"], "old": self.tills["rotated"]["secret"]}
        await live.ok("POST", f"/v1/clients/{self.tills['disabled']['id']}:disable", {}, token=live.admin)
        till = self.tills["till"]
        self._till = (await live.client_token(till["id"], till["secret"])).json()["access_token"]
        for role in ("MANAGER", "CASHIER"):
            name = f"{role.lower()}-{unique()}"
            wanted = {"user_name": name, "full_name": "Joan Clarke", "password": PASSWORD}
            made = await live.ok("POST", "/v1/staff", wanted | {"role": f"ROLE_{role}"}, token=live.admin)
            self.staff[role] = name
            if role == "CASHIER":
                await live.ok("POST", f"/v1/staff/{made['staff']['id']}:disable", {}, token=live.admin)
        await self._make_rules()
        campaign = {
            "name": "First logins",
            "places": PLACES,
            "benefit": {"percent_off": 30},
            "includes_members_without_phone": True,
        }
        told = await self.keep("admin", "POST", "/v1/campaigns", campaign, unique())
        self.known["campaign"] = told["campaign"]["id"]
        self.known["voucher"] = await self.new_voucher(30)

    async def _make_rules(self) -> None:
        """Rules of every kind, one that is deleted again, and those that hold in another year."""
        rules: Sequence[dict[str, Any]] = (
            {"name": "Coffee counts double", "multiplier": {"percent": 200, "categories": ["coffee"]}},
            {"name": "Tobacco", "exclusion": {"categories": ["tobacco"]}, "priority": 5},
            {"name": "Welcome", "first_purchase_bonus": {"points": 5}},
            {"name": "Of another time", "base_rate": {"points": 3, "per_minor": "500"}, "starts_at": FAR},
            {"name": "Mistake", "multiplier": {"percent": 50, "categories": ["milk"]}},
        )
        for rule in rules:
            told = await self.keep("admin", "POST", "/v1/earn-rules", rule, unique())
            self.known[rule["name"]] = told["rule"]["id"]
        await self.live.ok("DELETE", f"/v1/earn-rules/{self.known['Mistake']}", token=self.live.admin)

        async def in_force() -> None:
            probe = sale(None, line(1_000, category="coffee"), line(1_000, category="milk"))
            told = await self.live.ok("POST", "/v1/purchases", probe, token=self._till)
            held = [rule["name"] for rule in told["purchase"]["applied_rules"]]
            assert held == ["", "Coffee counts double"]

        await eventually(in_force, RULE_SECONDS)

    async def _shop(self) -> None:
        """Receipts of every kind, refunds, claims and adjustments."""
        live, ada, admin = self.live, self.members["ada"], self.live.admin
        lines = (
            line(12_900, 3, "coffee"),
            line(5_000, 2, "tobacco"),
            line(1_450, alcohol=True),
            line(9_990, 4, "garden"),
        )
        told = await self.purchase(sale(ada, *lines))
        self.known["purchase"] = told["purchase"]["id"]
        await self.keep(
            "till", "POST", f"/v1/purchases/{told['purchase']['id']}:refund", refund((1, 1), (4, 2))
        )
        signed = await live.ok("GET", "/v1/members/me/code?signed=true", token=ada.token)
        await self.purchase(sale(ada, line(20_000)) | {"member_code": signed["member_code"]})
        batch = [sale(ada, line(3_000 * nth)) for nth in (1, 2)] + [sale(None, line(7_000))]
        batch.append(sale(ada, line(1)) | {"currency_code": "EUR"})
        await self.keep("till", "POST", "/v1/purchases:batch", {"purchases": batch})

        told = await self.purchase(sale(None, line(42_000), till_number="7"))
        self.known["claim_code"] = told["claim"]["claim_code"]
        told = await self.purchase(sale(None, line(30_000, 2)))
        code = {"claim_code": told["claim"]["claim_code"]}
        await self.keep("claimer", "POST", "/v1/members/me/purchases:claim", code)
        body = sale(None, line(11_000))
        await self.purchase(body)
        claim = {"receipt_number": body["receipt_number"], "member_code": self.members["claimer"].code}
        await self.keep("till", "POST", "/v1/purchases:claim", claim)

        path = f"/v1/members/{ada.id}/points:adjust"
        for delta in (25, -5):
            await self.keep("admin", "POST", path, {"delta": delta, "reason": "Goodwill"}, unique())
        changed = {"multiplier": {"percent": 300, "categories": ["coffee"]}}
        rule = f"/v1/earn-rules/{self.known['Coffee counts double']}"
        await live.ok("PATCH", rule, changed, token=admin)
        await self.purchase(sale(self.members["suspended"], line(2_000)))

    async def _spend(self) -> None:
        """Orders that completed, one that was refused, and goods that came back after their points."""
        for _ in range(3):
            told = await self.keep("ada", "POST", "/v1/members/me/orders", self._order(), unique())
            assert told["order"]["state"] == "ORDER_STATE_COMPLETED", told
        await self.keep("poor", "POST", "/v1/members/me/orders", self._order(), unique())
        debtor = self.members["debtor"]
        told = await self.purchase(sale(debtor, line(200_000)))
        await self.keep("debtor", "POST", "/v1/members/me/orders", self._order(), unique())
        points = await self.live.points_of(debtor.id)
        taken = {"delta": -(points["balance"] - 100), "reason": "Credited twice"}
        await self.keep("admin", "POST", f"/v1/members/{debtor.id}/points:adjust", taken, unique())
        told = await self.keep(
            "till", "POST", f"/v1/purchases/{told['purchase']['id']}:refund", refund(reason="Broken")
        )
        assert told["refund"]["points_owed"] > 0

    def _order(self) -> dict[str, str]:
        return {"voucher_id": self.known["voucher"]}

    async def _redeem(self) -> None:
        """One code redeemed, one redeemed and taken back, and some left: a bought one, and won ones."""
        ada = self.members["ada"]
        mine = await self.live.ok("GET", "/v1/members/me/vouchers", token=ada.token)
        used, cancelled, left = (voucher["code"] for voucher in mine["vouchers"])
        await self.keep("till", "POST", "/v1/codes:redeem", {"code": used, "sale_reference": "S-1"})
        sold = {"code": cancelled, "sale_reference": "S-2"}
        told = await self.live.ok("POST", "/v1/codes:redeem", sold, token=self._till)
        path = f"/v1/redemptions/{told['redemption']['id']}:cancel"
        await self.keep("till", "POST", path, {})
        won = (await self.live.rewards(self.members["debtor"]))[0]["code"]
        at_till = {"code": won, "sale_reference": "S-3", "till_number": "7"}
        await self.keep("till", "POST", "/v1/codes:redeem", at_till)
        self.known |= {"used_code": used, "taken_back_code": cancelled, "code": left}
        self.known["won_code"] = (await self.live.rewards(ada))[0]["code"]

    async def _leave(self) -> None:
        """One member is suspended and one leaves; every service gets the events."""
        path = f"/v1/members/{self.members['suspended'].id}:suspend"
        await self.live.ok("POST", path, {"reason": "Under review"}, token=self.live.admin)
        await self.live.rewards(self.members["closed"])
        leaving = {"confirm": True, "proof": {"password": PASSWORD}}
        token = self.members["closed"].token
        await self.live.ok("POST", "/v1/members/me:close", leaving, token=token)
