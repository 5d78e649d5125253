"""Who takes part in a benchmark, made over REST as staff, tills and members would make it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from stack.files import write_private
from stack.rest import RefusedError, Rest, item, receipt

PRICE_POINTS = 500
FACE_VALUE_MINOR = 500
TILLS = 8
MEMBERS = 500
OPENING_RECEIPTS = 2
OPENING_MINOR = 10**9
"""What each opening receipt is worth: a million points, so that nobody runs out."""
LIMITS = {"SCRIP_OTP_SENDS_PER_ADDRESS": "1000000", "SCRIP_REGISTRATIONS_PER_ADDRESS": "1000000"}
"""What identity is given, since all of them come from one address."""
AT_ONCE = 16
TRIES = 4

T = TypeVar("T")


@dataclass(frozen=True)
class Member:
    """A member, its code at the till, its token."""

    id: str
    code: str
    token: str


@dataclass(frozen=True)
class World:
    """Tills' tokens, members, and the voucher that they order."""

    tills: list[str]
    members: list[Member]
    voucher_id: str
    brand_id: str = ""
    discounts: Sequence[Sequence[str]] = ((),)
    """Discounts of the brand by the turn in which they are claimed, each with a code for every member; those
    of turn 0 are for `same_job`."""

    def write(self, path: Path) -> None:
        """Writes a file that only its owner may read, for there are tokens in it."""
        write_private(path, json.dumps(asdict(self)), durable=False)

    @classmethod
    def read(cls, path: Path) -> World:
        """Reads what `write` wrote."""
        found = json.loads(path.read_text())
        members = [Member(**member) for member in found["members"]]
        return cls(**found | {"members": members})


async def create(
    base_url: str, admin_user: str, admin_password: str, *, stock: int, members: int = MEMBERS
) -> World:
    """Returns a world on a fresh stack, with so many members and pieces of its voucher."""
    async with Rest(base_url) as rest:
        admin = await rest.log_in_staff(admin_user, admin_password)
        tills = [await rest.create_till(admin, f"Bench till {number}") for number in range(TILLS)]
        voucher = {
            "title": "$5 off your next purchase",
            "face_value": {"currency_code": "USD", "amount_minor": str(FACE_VALUE_MINOR)},
            "price_points": PRICE_POINTS,
            "quantity": stock,
        }
        created = await rest.ok("POST", "/v1/vouchers", voucher, token=admin, key="bench-voucher")

        async def join(number: int, attempt: int) -> Member:
            # Another try is another person: nobody knows how far the first one came.
            phone = f"+1415{2_000_000 + attempt * members + number:07d}"
            person, token = await rest.register(admin, phone, f"Member {number}")
            code = (await rest.ok("GET", "/v1/members/me/code", token=token))["member_code"]
            return Member(person["id"], code, token)

        return World(tills, await _all(join, members), created["voucher"]["id"])


async def give_points(base_url: str, world: World) -> None:
    """Gives each member points enough, by some large receipts."""
    now = datetime.now(UTC).isoformat()
    async with Rest(base_url) as rest:

        async def shop(number: int, _: int) -> None:
            member = world.members[number]
            for turn in range(OPENING_RECEIPTS):
                line = item("100", "Opening balance", OPENING_MINOR)
                bought = receipt(member.code, f"opening-{number}-{turn}", now, line)
                await rest.ok("POST", "/v1/purchases", bought, token=world.tills[number % TILLS])

        await _all(shop, len(world.members))


async def offer_discounts(
    base_url: str, admin_user: str, admin_password: str, world: World, *, turns: int, discounts: int
) -> World:
    """Returns the world with so many discounts of a brand for each turn, which all members may claim."""
    async with Rest(base_url) as rest:
        admin = await rest.log_in_staff(admin_user, admin_password)
        brand_id = await _brand(rest, admin)
        path = f"/v1/brands/{brand_id}/discounts"

        async def offer(number: int) -> str:
            wanted = {"name": f"Discount {number}", "quantity": MEMBERS, "benefit": {"percent_off": 30}}
            made = await rest.ok("POST", path, wanted, token=admin, key=f"discount-{number}")
            discount_id: str = made["discount"]["id"]
            await rest.ok("POST", f"{path}/{discount_id}:activate", {}, token=admin)
            return discount_id

        made = [await offer(number) for number in range(1 + turns * discounts)]

        async def agree(number: int, _: int) -> None:
            consent = {"shares_contact": True, "wording_version": "1"}
            await rest.ok("PUT", "/v1/members/me/consent", consent, token=world.members[number].token)

        await _all(agree)
    rest_of = [made[1 + turn * discounts :][:discounts] for turn in range(turns)]
    return replace(world, brand_id=brand_id, discounts=[made[:1], *rest_of])


async def _brand(rest: Rest, admin: str) -> str:
    brand = {"name": "Golden Crust", "category": "Bakeries"}
    made = await rest.ok("POST", "/v1/brands", brand, token=admin, key="bench-brand")
    brand_id: str = made["brand"]["brand"]["id"]
    await rest.ok("POST", f"/v1/brands/{brand_id}:publish", {}, token=admin)
    return brand_id


async def _all(work: Callable[[int, int], Awaitable[T]], count: int = MEMBERS) -> list[T]:
    """Returns the results of `work(number, attempt)` for so many members; a refused one is tried again."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> T:
        for attempt in range(TRIES):
            async with slots:
                try:
                    return await work(number, attempt)
                except RefusedError:
                    if attempt + 1 == TRIES:
                        raise
            await asyncio.sleep(1)
        raise AssertionError("the last attempt returns or raises")

    return await asyncio.gather(*(one(number) for number in range(count)))
