"""`python -m services.points check-books` proves the books, and names what is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import redis.asyncio as redis

from services.common.cache import Redis
from services.points.balances import BALANCE_KEYS
from services.points.balances.leased_cache import LeasedCache
from services.points.books import PATIENT_SECONDS, BooksChecker
from services.points.ledger.tests.test_expiry import many_members
from services.points.tests.manager import execute, run_command
from services.points.tests.own_service import OwnService, own_service
from services.points.tests.returns import unclaimed
from stack.redis import Redis as RedisServer
from tests.inprocess import Member, Platform


@pytest.fixture
async def own(platform: Platform) -> AsyncIterator[OwnService]:
    """Points with books of its own."""
    async with own_service(platform) as service:
        yield service


@pytest.fixture
async def cache(platform: Platform) -> AsyncIterator[redis.Redis]:
    """Redis, as anybody sees it."""
    client = redis.Redis.from_url(platform.redis_url, decode_responses=True)
    yield client
    await client.aclose()


async def check(own: OwnService) -> tuple[bool, list[str]]:
    """Returns whether all books agree, and what was reported."""
    reported: list[str] = []
    server = Redis(own.platform.redis_url, PATIENT_SECONDS)
    try:
        checker = BooksChecker(own.database, LeasedCache(server, BALANCE_KEYS))
        return await checker.run(asyncio.Event(), reported.append), reported
    finally:
        await server.close()


async def busy_member(own: OwnService, platform: Platform) -> Member:
    """Returns a member with two purchases and an order."""
    member = await platform.member()
    await own.earn(member, 60)
    await own.earn(member, 10)
    await own.debit(uuid4(), member, 20)
    return member


@pytest.mark.covers("P4 PointsService.GetMyBalance")
async def test_the_command_says_that_all_agree(own: OwnService, platform: Platform) -> None:
    for _ in range(3):
        await busy_member(own, platform)
    await unclaimed(own)
    status, out = await run_command(own, "check-books")
    assert (status, out) == (0, "3 members, 0 whose books do not agree\n")


@pytest.mark.covers("P4 PointsService.GetMyBalance")
async def test_the_command_names_who_is_wrong_and_in_what(own: OwnService, platform: Platform) -> None:
    right, wrong = await busy_member(own, platform), await busy_member(own, platform)
    await execute(
        own, "UPDATE lots SET remaining = remaining - 1 WHERE member_id = %(id)s AND id = 2", id=wrong.id
    )
    status, out = await run_command(own, "check-books")
    assert status == 1
    assert out.splitlines() == [
        f"member {wrong.id}: positive balance 50, in the lots are left 49",
        "2 members, 1 whose books do not agree",
    ]
    assert str(right.id) not in out


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE accounts SET balance = 51 WHERE member_id = %(id)s", "balance 51, the ledger adds up to 50"),
        (
            "UPDATE ledger_entries SET delta = 61 WHERE member_id = %(id)s AND sequence = 1",
            "an entry tells another balance than the entries up to it",
        ),
        (
            "DELETE FROM ledger_entries WHERE member_id = %(id)s AND sequence = 3",
            "entries by the account 3, entries in the ledger 2",
        ),
        (
            "UPDATE ledger_entries SET sequence = 4 WHERE member_id = %(id)s AND sequence = 3",
            "entries by the account 3, number of the last entry 4",
        ),
        (
            "UPDATE ledger_entries SET debt_delta = 7 WHERE member_id = %(id)s AND sequence = 3",
            "debt 0, the ledger's debts add up to 7",
        ),
        (
            "DELETE FROM purchases WHERE member_id = %(id)s AND number = 1",
            "purchases by the account 2, purchases 1",
        ),
        (
            "UPDATE purchases SET number = 3 WHERE member_id = %(id)s AND number = 2",
            "purchases by the account 2, number of the last purchase 3",
        ),
        (
            "UPDATE purchases SET number = 2 WHERE member_id = %(id)s",
            "purchases do not count from 1, each with a number of its own",
        ),
        ("DELETE FROM accounts WHERE member_id = %(id)s", "there is no account, only what belongs to one"),
        ("DELETE FROM lots WHERE member_id = %(id)s", "positive balance 50, in the lots are left 0"),
    ],
)
async def test_each_difference_is_named(
    own: OwnService, platform: Platform, statement: str, said: str
) -> None:
    await busy_member(own, platform)
    wrong = await busy_member(own, platform)
    assert await check(own) == (True, ["2 members, 0 whose books do not agree"])
    await execute(own, statement, id=wrong.id)
    agree, reported = await check(own)
    assert not agree
    assert f"member {wrong.id}: {said}" in reported
    assert reported[-1].endswith(" members, 1 whose books do not agree")
    assert all(str(wrong.id) in line for line in reported[:-1])


async def put(cache: redis.Redis, member: Member, balance: int, *, epoch: str = "") -> None:
    """Puts a balance where that of the member is kept."""
    key, held = await kept(cache, member)
    await cache.set(key, f"{epoch or held.partition(':')[0]}:={balance}", ex=60)


async def kept(cache: redis.Redis, member: Member) -> tuple[str, str]:
    """Returns the key of the member's balance in the cache, and what is there."""
    [key] = await cache.keys(f"{BALANCE_KEYS}*:{member.id}")
    return str(key), str(await cache.get(key) or "")


async def test_a_wrong_balance_in_the_cache_is_named(
    own: OwnService, platform: Platform, cache: redis.Redis
) -> None:
    member = await busy_member(own, platform)
    assert await own.balance(member) == 50
    assert (await kept(cache, member))[1].endswith(":=50")
    assert await check(own) == (True, ["1 members, 0 whose books do not agree"])
    await put(cache, member, 51)
    assert await own.balance(member) == 51, "it is believed"
    agree, reported = await check(own)
    assert not agree
    assert reported[0] == f"member {member.id}: the cache holds 51, the balance is 50"
    await cache.delete((await kept(cache, member))[0])
    assert (await check(own))[0]


async def test_a_balance_that_is_void_a_little_later_is_no_difference(
    own: OwnService, platform: Platform, cache: redis.Redis
) -> None:
    member = await busy_member(own, platform)
    await own.balance(member)
    await put(cache, member, 70)

    async def void() -> None:
        await asyncio.sleep(0.3)
        await cache.delete((await kept(cache, member))[0])

    result, _ = await asyncio.gather(check(own), void())
    assert result[0]


async def test_what_is_of_an_old_epoch_is_no_difference(
    own: OwnService, platform: Platform, cache: redis.Redis
) -> None:
    member = await busy_member(own, platform)
    await own.balance(member)
    await put(cache, member, 70, epoch="old")  # as it is after a failure of Redis
    assert (await check(own))[0]
    assert await own.balance(member) == 50


async def test_without_redis_the_rest_is_checked(
    own: OwnService, platform: Platform, redis_server: RedisServer
) -> None:
    await busy_member(own, platform)
    redis_server.stop()
    try:
        agree, reported = await check(own)
    finally:
        redis_server.start()
    assert not agree, "what was not looked at is not proved"
    assert reported == [
        "Redis does not answer: not every balance was compared with the cache",
        "1 members, 0 whose books do not agree",
    ]


async def test_every_page_of_members_is_checked(own: OwnService) -> None:
    await many_members(own, 2_500)
    rows = await own.rows("SELECT member_id FROM accounts ORDER BY member_id")
    places = (0, 999, 1_000, 1_001, 1_999, 2_499)
    for place in places:
        await execute(
            own, "UPDATE accounts SET balance = balance + 1 WHERE member_id = %(id)s", id=rows[place][0]
        )
    agree, reported = await check(own)
    assert not agree
    named = [line.split()[1].rstrip(":") for line in reported if "the ledger adds up" in line]
    assert named == [str(rows[place][0]) for place in places]
    assert reported[-1] == "2500 members, 6 whose books do not agree"


@pytest.mark.covers("P4 PointsService.GetMyBalance")
async def test_points_may_move_meanwhile(own: OwnService, platform: Platform) -> None:
    members = [await platform.member() for _ in range(10)]
    stop = asyncio.Event()

    async def shop() -> None:
        while not stop.is_set():
            await asyncio.gather(*(own.earn(member, 3) for member in members))

    shopping = asyncio.create_task(shop())
    results = [await check(own) for _ in range(10)]
    stop.set()
    await shopping
    assert [result for result in results if not result[0]] == []


async def test_a_check_that_is_stopped_proves_nothing(own: OwnService) -> None:
    stop, reported = asyncio.Event(), list[str]()
    stop.set()
    server = Redis(own.platform.redis_url)
    assert not await BooksChecker(own.database, LeasedCache(server, "x:")).run(stop, reported.append)
    await server.close()
    assert reported == ["stopped after 0 members"]
