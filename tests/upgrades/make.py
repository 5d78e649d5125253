"""Makes a dump of a platform in the middle of its work: `python -m tests.upgrades.make NAME`."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from stack.errors import StackError
from tests import invariants
from tests.hanging import hanging
from tests.platform import eventually, new_phone, purchase, unique
from tests.upgrades import dumps
from tests.upgrades.posted import BrandReceiver, SmsProvider
from tests.upgrades.promos_story import PromosStory
from tests.upgrades.retailer import PASSWORD, Retailer, start_retailer
from tests.upgrades.story import REST_SECONDS, SHOPPERS, Story
from tests.upgrades.vouchers_story import VouchersStory

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
IMPORTED = 300
PARKED_SECONDS = 20.0
BUYERS = ("debited", "without_codes", "refused")
MOVED_ALONG: dumps.MovedAlong = {
    "identity": {
        "sessions": ["created_at", "expires_at"],
        "refresh_tokens": ["created_at", "used_at"],
        "otps": ["expires_at"],
        "otp_deliveries": ["created_at"],
        "clients": ["old_secret_ends_at"],
        "signing_keys": ["created_at", "signs_from"],
    },
    "points": {
        "lots": ["expires_at"],
        "unclaimed_purchases": ["claim_until"],
        "idempotency_keys": ["created_at"],
    },
    "vouchers": {
        "idempotency_keys": ["created_at"],
        "orders": ["pay_until"],
        "quotes": ["expires_at"],
        "gifts": ["returns_at"],
        "payments": ["asked_at"],
    },
    "promos": {
        "idempotency_keys": ["created_at"],
        "webhook_deliveries": ["created_at"],
        "webhook_endpoints": ["old_secret_expires_at"],
    },
}
"""What time would take away: logins, keys, one-time passwords, lots, claims, keys of repeated calls,
deliveries, secrets that were rotated, quotes, gifts, payments that are awaited."""


class Unfinished:
    """Leaves everything half done that can be half done, by stopping processes at the right moments."""

    def __init__(
        self,
        live: Retailer,
        story: Story,
        promos: PromosStory,
        vouchers: VouchersStory,
        stopped: ExitStack,
    ) -> None:
        self.live = live
        self.story = story
        self.promos = promos
        self.vouchers = vouchers
        self.orders: list[dict[str, Any]] = []
        """Orders under way: who sent which key, and how they must end."""
        self.changes: dict[str, int] = {}
        """By how much a balance will have changed when all is finished."""
        self.otps: dict[str, str] = {}
        """Ids of one-time passwords that were not sent, by whose they are."""
        self.reads: dict[str, Any] = {}
        """What the admin read of promos and vouchers, by path."""
        self._stopped = stopped

    def _stop(self, *names: str) -> None:
        for name in names:
            self._stopped.enter_context(hanging(self.live.stack, name))

    async def leave(self) -> None:
        """All of it. Returns when every process but the stores stands still."""
        await self._import()
        await self._expire()
        await self._send_otps()
        await self._tell_nobody()
        await self.promos.leave(self._stop)
        await self.vouchers.leave()
        self.reads = await self.promos.reads() | await self.vouchers.reads()
        await self._make_no_codes()
        await self._order()
        self._stop("identity", "vouchers", "envoy")

    async def _import(self) -> None:
        """A file of adjustments is half done, and its worker silent."""
        one = self.story.members["importee"].id
        rows = [f"{one},1,Täglich"] * IMPORTED + ["nobody,1,Who?", f"{one},-1000000,Too much"]
        content = "\n".join(["member_id,delta,reason", *rows, ""])
        told = await self.story.keep("admin", "POST", "/v1/adjustment-imports", content, unique())
        path = f"/v1/adjustment-imports/{told['adjustment_import']['id']}"

        async def begun() -> None:
            assert (await self._imported(path))["done"] > 0

        await eventually(begun, PARKED_SECONDS)
        self._stop("points-worker")
        await asyncio.sleep(0.5)  # for a commit that was under way
        done = (await self._imported(path))["done"]
        assert done < IMPORTED, "the file is finished: make it longer"
        self.changes["importee"] = IMPORTED - done
        self.story.known["import"] = told["adjustment_import"]["id"]

    async def _imported(self, path: str) -> Any:
        return (await self.live.ok("GET", path, token=self.live.admin))["adjustment_import"]

    async def _expire(self) -> None:
        """One lot is due, and nobody takes it."""
        member = self.story.members["expiring"].id
        with psycopg.connect(self.live.databases["points"]) as connection:
            row = connection.execute(
                "UPDATE lots SET expires_at = now() - interval '1 hour' WHERE member_id = %s AND id ="
                " (SELECT min(id) FROM lots WHERE member_id = %s) RETURNING remaining",
                (member, member),
            ).fetchone()
        assert row is not None
        self.changes["expiring"] = -row[0]
        bought = purchase(self.story.members["expiring"], 50_000)
        await self.story.purchase(bought)

    async def _send_otps(self) -> None:
        """One one-time password could not be sent yet, and one waits for its first try."""
        self.live.sms.takes = False
        self.otps["expiring"] = await self.live.ask_for_otp(self.story.members["expiring"].phone, "LOG_IN")
        await self.live.sms.wait_refused()
        self._stop("identity-worker")
        self.otps["newcomer"] = await self.live.ask_for_otp(new_phone(), "REGISTER")

    async def _tell_nobody(self) -> None:
        """Members come and go, and no other service has their events."""
        story, admin = self.story, self.live.admin
        unheard = await story.join("unheard", phone=False)
        await story.purchase(purchase(unheard, 20_000))
        path = f"/v1/members/{story.members['suspended_unheard'].id}:suspend"
        await self.live.ok("POST", path, {"reason": "Under review"}, token=admin)
        leaver = story.members["closed_unheard"]
        self.changes["closed_unheard"] = -(await self.live.points_of(leaver.id))["balance"]
        leaving = {"confirm": True, "proof": {"password": PASSWORD}}
        await self.live.ok("POST", "/v1/members/me:close", leaving, token=leaver.token)

    async def _make_no_codes(self) -> None:
        """A set whose codes nobody makes, a voucher that promos does not know, audit entries."""
        story = self.story
        half_made = await story.new_voucher(25)
        wanted = f"SELECT made FROM code_sets WHERE id = '{half_made}' AND made < wanted"

        async def known() -> None:
            assert invariants.rows(self.live.databases["promos"], wanted)

        await eventually(known, PARKED_SECONDS)
        self._stop("vouchers-worker")
        story.known["voucher_unheard"] = await story.new_voucher(15)
        story.known["voucher_half_made"] = half_made
        later = {"name": "Later", "places": 3, "benefit": {"percent_off": 5}}
        made = await self.live.ok("POST", "/v1/campaigns", later, token=self.live.admin, key=unique())
        story.known["paused_campaign"] = made["campaign"]["id"]
        path = f"/v1/campaigns/{made['campaign']['id']}:pause"
        await self.live.ok("POST", path, {}, token=self.live.admin)
        path = f"/v1/members/{story.members['ada'].id}/points:adjust"
        await story.keep("admin", "POST", path, {"delta": 7, "reason": "Late"}, unique())

    async def _order(self) -> None:
        """Orders before, between and after their steps, and on their way back."""
        story = self.story
        half_made, plenty = story.known["voucher_half_made"], story.known["voucher"]
        before = {name: await self._balance(name) for name in BUYERS}
        self._stop("promos")
        await self._place("debited", plenty, "COMPLETED")
        await self._place("without_codes", half_made, "COMPLETED")
        refused = await self._place("refused", plenty, "FAILED")
        await self._place("poor", plenty, "FAILED")

        async def debited() -> None:
            for name in BUYERS:
                assert await self._balance(name) < before[name], f"{name} has not paid"

        await eventually(debited, PARKED_SECONDS)
        with psycopg.connect(self.live.databases["promos"]) as connection:
            connection.execute(  # promos will refuse the code, as after a release that came first
                "INSERT INTO assignments (order_id, state, released_at) VALUES (%s, 'RELEASED', now())",
                (refused,),
            )
        self.changes["refused"] = before["refused"] - await self._balance("refused")
        balances = {name: await self.live.points_of(one.id) for name, one in story.members.items()}
        self._stop("points")
        await self._place("placed", plenty, "COMPLETED")
        self.changes["placed"] = -(before["debited"] - balances["debited"]["balance"])
        for name, points in balances.items():
            story.people[name] |= {"points": points, "changes_by": self.changes.get(name, 0)}

    async def _balance(self, name: str) -> int:
        return int((await self.live.points_of(self.story.members[name].id))["balance"])

    async def _place(self, who: str, voucher_id: str, ends: str) -> str:
        body, key = {"voucher_id": voucher_id}, unique()
        token = self.story.members[who].token
        answer = await self.live.call("POST", "/v1/members/me/orders", body, token=token, key=key)
        assert answer.status_code == 200, answer.text
        order = answer.json()["order"]
        assert order["state"] in ("ORDER_STATE_PENDING", "ORDER_STATE_UNDOING"), order
        self.orders.append({"who": who, "key": key, "body": body, "order": order, "ends": ends})
        return str(order["id"])


async def _drive(live: Retailer, receiver: BrandReceiver, name: str) -> int:
    """Runs the story, leaves it unfinished and writes the dump. Returns its size in bytes."""
    story = Story(live)
    promos, vouchers = PromosStory(story, receiver), VouchersStory(story)
    async with live:
        await story.tell()
        await promos.tell()
        await vouchers.tell()
        await live.at_rest(REST_SECONDS)
        winners = await live.winners(story.known["campaign"])
        with ExitStack() as stopped:
            unfinished = Unfinished(live, story, promos, vouchers, stopped)
            await unfinished.leave()
            content = {
                "made_at": datetime.now(UTC).isoformat(),
                "secrets": _secrets(live),
                "moved_along": MOVED_ALONG,
                "people": story.people,
                "tills": story.tills,
                "staff": story.staff,
                "known": story.known,
                "promos": promos.known,
                "vouchers": vouchers.known,
                "reads": unfinished.reads,
                "winners": winners,
                "calls": story.calls,
                "orders_under_way": unfinished.orders,
                "otps_under_way": unfinished.otps,
            }
            return await asyncio.to_thread(dumps.write, name, live.databases, content)


def _secrets(live: Retailer) -> dict[str, str]:
    found: dict[str, str] = json.loads(live.stack.folder.secrets.read_text())
    return found


def make(name: str) -> int:
    """Makes the dump of this name. Returns its size in bytes."""
    with (
        tempfile.TemporaryDirectory(prefix="scrip-") as folder,
        SmsProvider() as sms,
        BrandReceiver() as receiver,
    ):
        stack = start_retailer(Path(folder), sms)
        try:
            return asyncio.run(_drive(Retailer(stack, sms), receiver, name))
        finally:
            stack.stop()


def main() -> None:
    """Reads the name and makes the dump."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="folder below tests/upgrades, such as points-whole")
    name: str = parser.parse_args().name
    if not NAME.fullmatch(name):
        raise SystemExit("give the dump a name of lower-case letters, digits and hyphens: NAME=points-whole")
    if (dumps.FOLDER / name).exists():
        raise SystemExit(f"{name} exists: a dump of the past is never made anew")
    try:
        size = make(name)
    except StackError as error:
        raise SystemExit(str(error)) from None
    sys.stdout.write(f"{dumps.FOLDER / name}: {len(SHOPPERS)} members and more, {size:,} bytes\n")


if __name__ == "__main__":
    main()
