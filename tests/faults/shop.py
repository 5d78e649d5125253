"""A shop whose vouchers cost points, money or both, and members who buy them in every way there is."""

from __future__ import annotations

import asyncio
import csv
import io
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx

from tests.faults.clients import Disturbed, GaveUpError, answer
from tests.platform import MEMBERS_AT_ONCE, Member, Platform, eventually, limited, refusal, unique

ORDERS = "/v1/members/me/orders"
STOCK, FEW = 100_000, 25
POINTS = 1_000_000
PROMO_CODES = 4
AGAIN_SECONDS = 0.3
MOST_ASKED = 400
OFFERED_SECONDS = 60.0
GOOD, SLOW, UNHEARD, TWICE = "4242424242424242", "4000000000003337", "4000000000000119", "4000000000002222"
ASKS, DECLINED = "4000002500003155", "4000000000000002"
OPEN = ("PENDING", "UNDOING", "REFUNDING")
REFUSALS = frozenset(
    {
        "SOLD_OUT",
        "INSUFFICIENT_POINTS",
        "PAYMENT_DECLINED",
        "ORDER_CANCELLED",
    }
)
"""Why an order of this shop may end, and be refused."""
_OFFERS: Mapping[str, dict[str, Any]] = {
    "points": {"points": 300},
    "money": {"points": 0, "price": {"currency_code": "USD", "amount_minor": "1250"}},
    "both": {
        "points": 200,
        "price": {"currency_code": "USD", "amount_minor": "905"},
        "price_rule": "PRICE_RULE_TOGETHER",
    },
}


@dataclass(frozen=True)
class Shop:
    """What is sold, to whom, and how it is paid."""

    live: Platform
    vouchers: Mapping[str, str]
    method_id: str
    promo_codes: Sequence[str]
    members: Sequence[Member]
    poor: Member
    """A member without points."""


async def open_shop(live: Platform, till: str, members: int) -> Shop:
    """Returns a new shop and as many members, whose vouchers have their codes."""
    card = {"name": "Card", "provider": "SANDBOX"}
    method = await live.ok("POST", "/v1/payment-methods", card, token=live.admin, key=unique())
    more: dict[str, Any] = {"buy_type": "BUY_TYPE_GIFT", "cancel_days": 1}
    vouchers = {name: await live.voucher(STOCK, **offer | more) for name, offer in _OFFERS.items()}
    vouchers["few"] = await live.voucher(FEW, **_OFFERS["both"] | more)
    wanted = {
        "name": "Newsletter",
        "quantity": PROMO_CODES,
        "uses_allowed": 1_000_000,
        "benefit": {"percent_off": 10},
    }
    made = await live.ok("POST", "/v1/code-sets", wanted, token=live.admin, key=unique())
    path = f"/v1/code-sets/{made['code_set']['id']}/codes:export"

    async def codes() -> list[str]:
        text = (await live.call("GET", path, token=live.admin)).content.decode("utf-8-sig")
        *rows, _ = csv.DictReader(io.StringIO(text, newline=""))
        assert len(rows) == PROMO_CODES
        return [row["code"] for row in rows]

    poor, *rich = await live.members(members + 1)
    await limited(MEMBERS_AT_ONCE, [partial(live.give, till, member, POINTS) for member in rich])
    return Shop(live, vouchers, method["payment_method"]["id"], await eventually(codes, 60), rich, poor)


@dataclass
class Wish:
    """An order that a member wants, what happens to it later, and what was last heard of it."""

    member: Member
    body: dict[str, Any]
    key: str
    ending: str
    """What the member or staff do when it is completed, or has to be confirmed."""
    friend: Member
    promo_code: str = ""
    patient: bool = True
    order: dict[str, Any] = field(default_factory=dict)
    """As it was last seen; empty when it was refused, or nothing was heard."""
    refused: str = ""
    done: bool = False

    @property
    def state(self) -> str:
        """The order's state without its prefix."""
        return str(self.order.get("state", "")).removeprefix("ORDER_STATE_")


def wish_of(shop: Shop, chance: random.Random) -> Wish:
    """Returns a wish that chance has chosen."""
    member, friend = chance.sample(shop.members, 2)
    what = chance.choice(["points", "money", "both", "both", "few"])
    body: dict[str, Any] = {"voucher_id": shop.vouchers[what], "quantity": chance.choice([1, 1, 1, 2, 3])}
    ending = chance.choice(["keep", "cancel", "refund", "keep"])
    promo_code = ""
    if what == "points":
        member = chance.choice([member, member, member, shop.poor])
    else:
        number = chance.choice([GOOD, GOOD, SLOW, UNHEARD, TWICE, ASKS, ASKS, DECLINED])
        body |= {"payment_method_id": shop.method_id, "card": _card(number)}
        promo_code = chance.choice(["", chance.choice(shop.promo_codes)])
        if number == ASKS:
            ending = chance.choice(["keep", "refund", "declines", "leaves"])
    if chance.random() < 0.25:
        recipient = {"phone_number": friend.phone, "name": "Grace", "message": "For you"}
        body |= {"gift": recipient, "quantity": 1}
        ending = chance.choice(["accepts", "rejects", "withdraws", ending])
    return Wish(member, body, unique(), ending, friend, promo_code, patient=chance.random() > 0.2)


def _card(number: str) -> dict[str, Any]:
    return {"number": number, "expiry_month": 12, "expiry_year": datetime.now(UTC).year + 2, "cvc": "123"}


class Buyer:
    """Has one wish fulfilled, as far as it goes."""

    def __init__(self, live: Platform, wish: Wish, seen: Disturbed) -> None:
        self._live = live
        self._wish = wish
        self._seen = seen

    async def buy(self) -> None:
        """Orders, confirms, and does with it what is wished; one who is not patient goes away halfway."""
        wish = self._wish
        try:
            await self.quote()
            await self._place(patient=wish.patient)
        except GaveUpError:
            return
        await self.go_on()

    async def go_on(self) -> None:
        """Brings to an end what was begun; also called when one who went away comes back."""
        wish = self._wish
        await self.quote()
        await self._place()
        for _ in range(MOST_ASKED):
            if wish.state != "AWAITING_PAYMENT" or wish.ending == "leaves":
                break
            if wish.order["redirect_url"]:
                await self._confirm(approve=wish.ending != "declines")
            await self._place()
        if wish.state == "COMPLETED":
            await self._end()
        wish.done = True
        self._seen.note_answer()

    async def look(self) -> tuple[str, str]:
        """Returns the order's id and state, or why it is refused, by a call with the same key."""
        wish = self._wish
        before = wish.order["id"]
        await self._place()
        if before:  # else nothing was ordered, and it may be had by now
            assert wish.order["id"] == before, f"another order: {wish}"
        return wish.order["id"], wish.refused or wish.state

    async def cancel(self) -> None:
        """Cancels the order, and waits until that has happened."""
        path = f"{ORDERS}/{self._wish.order['id']}:cancel"
        await self._until_over(partial(self._call, "POST", path, {}), "CANCELLED", "REFUNDED")

    async def quote(self) -> None:
        """Asks what it costs with a promo code, which is what is paid then."""
        wish = self._wish
        if not wish.promo_code or "quote_id" in wish.body:
            return
        asked = {name: wish.body[name] for name in ("voucher_id", "quantity", "payment_method_id")}
        asked |= {"promo_code": wish.promo_code, "as_gift": "gift" in wish.body}
        got = await answer(self._live, partial(self._call, "POST", f"{ORDERS}:quote", asked), self._seen)
        if got.status_code != httpx.codes.OK:
            assert refusal(got).reason == "SOLD_OUT", got.text
            wish.promo_code = ""  # it is ordered all the same: perhaps something comes back
            return
        wish.body = {"quote_id": got.json()["quote"]["id"]} | {
            name: value for name, value in wish.body.items() if name in ("voucher_id", "card", "gift")
        }

    async def _place(self, *, patient: bool = True) -> None:
        """Places the order, and asks again until it is neither under way nor being undone."""
        wish = self._wish
        call = partial(self._call, "POST", ORDERS, wish.body, key=wish.key)
        for _ in range(MOST_ASKED):
            got = await answer(self._live, call, self._seen, patient=patient)
            if got.status_code != httpx.codes.OK:
                refused = refusal(got)
                assert refused.reason in REFUSALS, got.text
                wish.refused, wish.order = refused.reason, {"id": refused.metadata.get("order_id", "")}
                return
            wish.order, wish.refused = got.json()["order"], ""  # what was sold out is to be had again
            if wish.state not in OPEN:
                return
            await asyncio.sleep(AGAIN_SECONDS)
        raise AssertionError(f"it did not end: {wish.order}")

    async def _confirm(self, *, approve: bool) -> None:
        page, _, token = self._wish.order["redirect_url"].partition("#")
        call = partial(self._live.call, "POST", f"{page}:confirm", {"token": token, "approve": approve})
        got = await answer(self._live, call, self._seen)
        if got.status_code != httpx.codes.OK:
            # It was given up while the member looked at the page.
            assert refusal(got).reason == "PAYMENT_ALREADY_DECIDED", got.text

    async def _end(self) -> None:
        wish = self._wish
        match wish.ending:
            case "cancel":
                await self.cancel()
            case "refund":
                path, key = f"/v1/orders/{wish.order['id']}:refund", unique()
                body = {"note": "broken"}
                call = partial(self._live.call, "POST", path, body, token=self._live.admin, key=key)
                await self._until_over(call, "REFUNDED")
            case "accepts" | "rejects" | "withdraws" if "gift" in wish.body:
                await self._finish_gift()

    async def _finish_gift(self) -> None:
        wish = self._wish
        given = await self._ok(partial(self._call, "GET", "/v1/members/me/given-gifts?page_size=200"))
        mine = [gift["id"] for gift in given["gifts"] if gift["order_id"] == wish.order["id"]]
        verb, whose = {
            "accepts": ("gifts/{}:accept", wish.friend),
            "rejects": ("gifts/{}:decline", wish.friend),
            "withdraws": ("given-gifts/{}:withdraw", wish.member),
        }[wish.ending]
        for gift_id in mine:
            path = f"/v1/members/me/{verb.format(gift_id)}"
            await eventually(partial(self._end_gift, path, whose), OFFERED_SECONDS)

    async def _end_gift(self, path: str, whose: Member) -> None:
        call = partial(self._live.call, "POST", path, {}, token=whose.token)
        got = await answer(self._live, call, self._seen)
        # A friend finds it as soon as its code is on hold, which a worker may have to do.
        assert got.status_code == httpx.codes.OK, got.text

    async def _until_over(self, call: Callable[[], Awaitable[httpx.Response]], *states: str) -> None:
        for _ in range(MOST_ASKED):
            self._wish.order = (await self._ok(call))["order"]
            if self._wish.state in states:
                return
            await asyncio.sleep(AGAIN_SECONDS)
        raise AssertionError(f"it did not end: {self._wish.order}")

    async def _call(self, method: str, path: str, body: Any = None, *, key: str = "") -> httpx.Response:
        return await self._live.call(method, path, body, token=self._wish.member.token, key=key)

    async def _ok(self, call: Callable[[], Awaitable[httpx.Response]]) -> Any:
        got = await answer(self._live, call, self._seen)
        assert got.status_code == httpx.codes.OK, got.text
        return got.json()
