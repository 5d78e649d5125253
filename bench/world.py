"""Who takes part in a benchmark, made over REST as staff, tills and members would make it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from stack.files import write_private
from stack.rest import Rest, item, receipt

PRICE_POINTS = 500
FACE_VALUE_MINOR = 500
TILLS = 8
MEMBERS = 500
OPENING_RECEIPTS = 3
OPENING_MINOR = 10**9
"""What each opening receipt is worth: a million points, so that nobody runs out."""
AT_ONCE = 16

T = TypeVar("T")
R = TypeVar("R")


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

    def write(self, path: Path) -> None:
        """Writes a file that only its owner may read, for there are tokens in it."""
        write_private(path, json.dumps(asdict(self)), durable=False)

    @classmethod
    def read(cls, path: Path) -> World:
        """Reads what `write` wrote."""
        found = json.loads(path.read_text())
        members = [Member(**member) for member in found["members"]]
        return cls(found["tills"], members, found["voucher_id"])


async def create(base_url: str, admin_user: str, admin_password: str, *, stock: int) -> World:
    """A world on a fresh stack, with so many pieces of its voucher."""
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

        async def join(number: int) -> Member:
            person, token = await rest.register(admin, f"+1415{2_000_000 + number:07d}", f"Member {number}")
            code = (await rest.ok("GET", "/v1/members/me/code", token=token))["member_code"]
            return Member(person["id"], code, token)

        members = await _all(join, range(MEMBERS))
        return World(tills, members, created["voucher"]["id"])


async def give_points(base_url: str, world: World) -> None:
    """Gives each member points enough, by some large receipts."""
    now = datetime.now(UTC).isoformat()
    async with Rest(base_url) as rest:

        async def shop(given: tuple[int, Member]) -> None:
            number, member = given
            for turn in range(OPENING_RECEIPTS):
                line = item("100", "Opening balance", OPENING_MINOR)
                bought = receipt(member.code, f"opening-{number}-{turn}", now, line)
                await rest.ok("POST", "/v1/purchases", bought, token=world.tills[number % TILLS])

        await _all(shop, enumerate(world.members))


async def _all(work: Callable[[T], Awaitable[R]], things: Iterable[T]) -> list[R]:
    """The results of `work` for each thing, with a bound on how many run at once."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(thing: T) -> R:
        async with slots:
            return await work(thing)

    return await asyncio.gather(*(one(thing) for thing in things))
