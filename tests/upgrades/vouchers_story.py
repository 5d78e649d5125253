"""Vouchers for money before a dump: bought, refunded, given, and what waits for somebody."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.platform import eventually, new_phone, unique
from tests.upgrades.story import Story

ORDERS = "/v1/members/me/orders"
WORK_SECONDS = 30.0
PRICE_MINOR, PRICE_POINTS, PERCENT_OFF = 4_500, 5, 10
PAID_MINOR = PRICE_MINOR * (100 - PERCENT_OFF) // 100
SECOND_LOOK = "4000002500003155"


def card(number: str = "4242424242424242") -> dict[str, Any]:
    """Returns a test card; docs/payments.md says what each number does."""
    return {"number": number, "expiry_month": 12, "expiry_year": datetime.now(UTC).year + 5, "cvc": "123"}


class VouchersStory:
    """What callers did, as far as they remember it. Calls that can be repeated go to the story."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.live = story.live
        self.known: dict[str, str] = {}
        """Ids, codes and phone numbers, by what they are."""

    async def tell(self) -> None:
        """Everything that is finished before the dump."""
        await self._put_on_sale()
        for name in ("mine", "accepted", "offered"):
            told = await self._buy(unique(), keep=True)
            assert told["state"] == "ORDER_STATE_COMPLETED", told
            self.known[name] = told["wallet_voucher_id"]
            self.known[f"{name}_order"] = told["id"]
        declined = await self._buy(unique(), keep=True, number="4000000000009995")
        assert declined["state"] == "ORDER_STATE_FAILED", declined
        await self._take_back()
        await self._give()
        self.known["code"] = (await self._mine("mine"))["code"]

    async def leave(self) -> None:
        """A gift for a number that nobody has, a quote, and an order whose payment must be confirmed."""
        quoted = await self._quote()
        self.known |= {"quote": quoted["id"], "quoted_minor": quoted["price"]["amount_minor"]}
        raised = {"price": {"currency_code": "USD", "amount_minor": "9900"}}
        await self.live.ok("PATCH", self._voucher, raised, token=self.live.admin)
        self.known["waiting_key"] = unique()
        waiting = await self._buy(self.known["waiting_key"], number=SECOND_LOOK)
        assert waiting["state"] == "ORDER_STATE_AWAITING_PAYMENT", waiting
        self.known |= {"waiting": waiting["id"], "redirect_url": waiting["redirect_url"]}

    async def reads(self) -> dict[str, Any]:
        """Returns what the admin reads of all this, by path."""
        known = self.known
        paths = (
            self._voucher,
            f"{self._voucher}/payment-discounts",
            f"/v1/vouchers/{known['archived']}",
            f"/v1/payment-methods/{known['method']}",
            f"/v1/orders/{known['mine_order']}",
            f"/v1/orders/{known['refunded']}",
            f"/v1/orders/{known['cancelled']}",
        )
        return {path: await self.live.ok("GET", path, token=self.live.admin) for path in paths}

    @property
    def _voucher(self) -> str:
        return f"/v1/vouchers/{self.known['voucher']}"

    @property
    def _buyer(self) -> str:
        return self.story.members["buyer"].token

    async def _put_on_sale(self) -> None:
        """A gift card for money and points, with a discount by card; and one that is archived."""
        method = {"name": f"Card {unique()}", "provider": "SANDBOX"}
        made = await self.story.keep("admin", "POST", "/v1/payment-methods", method, unique())
        self.known["method"] = made["payment_method"]["id"]
        wanted = {
            "title": f"$50 gift card {unique()}",
            "description": "For every store, online too.",
            "face_value": {"currency_code": "USD", "amount_minor": "5000"},
            "price": {"currency_code": "USD", "amount_minor": str(PRICE_MINOR)},
            "price_points": PRICE_POINTS,
            "price_rule": "PRICE_RULE_TOGETHER",
            "quantity": 20,
            "max_per_member": 12,
            "buy_type": "BUY_TYPE_GIFT",
            "max_gifts_per_recipient": 1,
            "valid_days": 3_650,
            "cancel_days": 365,
            "draft": True,
        }
        for name in ("voucher", "archived"):
            told = await self.live.ok("POST", "/v1/vouchers", wanted, token=self.live.admin, key=unique())
            path = f"/v1/vouchers/{told['voucher']['id']}"
            self.known[name] = told["voucher"]["id"]
            sold = await self.live.ok("POST", f"{path}:publish", {}, token=self.live.admin)
            assert sold["voucher"]["state"] == "VOUCHER_STATE_ON_SALE"
        archived = f"/v1/vouchers/{self.known['archived']}"
        await self.live.ok("POST", f"{archived}:archive", {}, token=self.live.admin)
        discount = f"{self._voucher}/payment-discounts/{self.known['method']}"
        await self.live.ok("PUT", discount, {"percent_off": PERCENT_OFF}, token=self.live.admin)

    async def _quote(self) -> Any:
        wanted = {"voucher_id": self.known["voucher"], "payment_method_id": self.known["method"]}
        return (await self.live.ok("POST", f"{ORDERS}:quote", wanted, token=self._buyer))["quote"]

    async def _buy(self, key: str, *, keep: bool = False, number: str = card()["number"]) -> Any:
        """Returns the order of the gift card, paid by a test card, once it is definite or waits."""
        body = {
            "voucher_id": self.known["voucher"],
            "payment_method_id": self.known["method"],
            "card": card(number),
        }

        async def settled() -> Any:
            answer = await self.live.call("POST", ORDERS, body, token=self._buyer, key=key)
            if answer.status_code == 200:
                assert answer.json()["order"]["state"] != "ORDER_STATE_PENDING"
            return answer

        answer = await eventually(settled, WORK_SECONDS)
        if keep:
            await self.story.keep("buyer", "POST", ORDERS, body, key)
        if answer.status_code != 200:
            return {"state": "ORDER_STATE_FAILED"}
        return answer.json()["order"]

    async def _mine(self, name: str) -> Any:
        path = f"/v1/members/me/vouchers/{self.known[name]}"
        return (await self.live.ok("GET", path, token=self._buyer))["voucher"]

    async def _take_back(self) -> None:
        """One order is refunded by staff, one by the member; one is cancelled before it is paid."""
        refunded, returned = [await self._buy(unique()) for _ in range(2)]
        cancelled = await self._buy(unique(), number=SECOND_LOOK)
        path = f"/v1/members/me/vouchers/{refunded['wallet_voucher_id']}"
        self.known["void_code"] = (await self.live.ok("GET", path, token=self._buyer))["voucher"]["code"]
        path, why = f"/v1/orders/{refunded['id']}:refund", {"note": "Bought by mistake"}
        await self.live.ok("POST", path, why, token=self.live.admin, key=unique())
        for order in (returned, cancelled):
            await self.live.ok("POST", f"{ORDERS}/{order['id']}:cancel", {}, token=self._buyer)
        self.known |= {"refunded": refunded["id"], "cancelled": cancelled["id"]}
        for order in (refunded, returned):
            await self._until(f"/v1/orders/{order['id']}", self.live.admin, "ORDER_STATE_REFUNDED")
        await self._until(f"/v1/orders/{cancelled['id']}", self.live.admin, "ORDER_STATE_CANCELLED")

    async def _give(self) -> None:
        """One is accepted by a member, one is on offer to a number that nobody has."""
        receiver = self.story.members["receiver"]
        for name, phone in (("accepted", receiver.phone), ("offered", new_phone())):
            to = {"recipient": {"phone_number": phone, "name": "Grace", "message": "Happy birthday!"}}
            path = f"/v1/members/me/vouchers/{self.known[name]}:give"
            await self.live.ok("POST", path, to, token=self._buyer, key=unique())
            self.known[f"{name}_phone"] = phone
        gifts = (await self.live.ok("GET", "/v1/members/me/gifts", token=receiver.token))["gifts"]
        path = f"/v1/members/me/gifts/{gifts[0]['id']}"
        await self.live.ok("POST", f"{path}:accept", {}, token=receiver.token)
        await self._until(path, receiver.token, "GIFT_STATE_ACCEPTED")

    async def _until(self, path: str, token: str, state: str) -> None:
        async def reached() -> None:
            (one,) = (await self.live.ok("GET", path, token=token)).values()
            assert one["state"] == state, one

        await eventually(reached, WORK_SECONDS)
