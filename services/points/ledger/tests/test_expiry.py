"""Points expire: when, in which order, and exactly once, also after a crash."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import grpc
import pytest
from scrip.points.v1 import points_pb2, points_pb2_grpc

from services.common.cache import Redis
from services.common.db import Connection
from services.common.ids import utc_now
from services.points.balances import BALANCE_KEYS, Balances
from services.points.balances.leased_cache import LeasedCache
from services.points.ledger import expire_due
from services.points.ledger.commands.expire_lots import expire_lots
from services.points.tests.manager import Manager, execute, worker
from services.points.tests.own_service import OwnService, own_service
from services.points.tests.returns import refund
from tests.inprocess import Member, Platform, bearer, eventually, reason

EXPIRE = points_pb2.ENTRY_KIND_EXPIRE
AT_MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def own(platform: Platform) -> AsyncIterator[OwnService]:
    """Points whose points expire after twelve months, and where nobody lets them."""
    async with own_service(platform, expire_months=12) as service:
        yield service


async def expire(own: OwnService) -> int:
    """Does what the worker does every minute; returns how many points expired."""
    async with balances(own) as cached:
        return await expire_due(own.database, cached.void)


@asynccontextmanager
async def balances(own: OwnService) -> AsyncIterator[Balances]:
    """Balances as the worker has them, which voids the cache."""
    redis = Redis(own.platform.redis_url, seconds=1)
    try:
        yield Balances(own.database, LeasedCache(redis, BALANCE_KEYS))
    finally:
        await redis.close()


async def let_time_pass(own: OwnService, member: Member, *lots: int, until: datetime = AT_MIDNIGHT) -> None:
    """Makes the time of these lots of the member be over, or of all."""
    await execute(
        own,
        "UPDATE lots SET expires_at = %(until)s"
        " WHERE member_id = %(id)s AND (%(every)s OR id = ANY(%(lots)s))",
        until=until,
        id=member.id,
        every=not lots,
        lots=list(lots),
    )


async def expiries(own: OwnService, member: Member, **fields: Any) -> points_pb2.ListMyExpiriesResponse:
    """Returns a page of what the member sees to expire."""
    stub = points_pb2_grpc.PointsServiceStub(own.channel)
    request = points_pb2.ListMyExpiriesRequest(**fields)
    return await stub.ListMyExpiries(request, metadata=bearer(member.token))


async def lots(own: OwnService, member: Member) -> list[tuple[Any, ...]]:
    """Returns what each lot earned, has left, and has lost."""
    query = "SELECT earned, remaining, expired FROM lots WHERE member_id = %(id)s ORDER BY id"
    return await own.rows(query, id=member.id)


@pytest.mark.covers("P7 PointsService.ListMyExpiries")
async def test_points_expire_at_the_end_of_a_day_in_the_programmes_time_zone(platform: Platform) -> None:
    async with own_service(platform, expire_months=3, time_zone=ZoneInfo("Asia/Tokyo")) as own:
        member = await platform.member()
        await own.earn(member, 5)
        [expiry] = (await expiries(own, member)).expiries
        local = expiry.expires_at.ToDatetime(tzinfo=UTC).astimezone(ZoneInfo("Asia/Tokyo"))
        assert (local.hour, local.minute, local.second, local.microsecond) == (0, 0, 0, 0)
        assert timedelta(days=87) < local - utc_now() < timedelta(days=95)
        assert expiry.points == 5


@pytest.mark.covers("P7 PointsService.ListMyExpiries")
async def test_by_default_nothing_expires(platform: Platform) -> None:
    async with own_service(platform) as own:
        member = await platform.member()
        await own.earn(member, 5)
        assert list((await expiries(own, member)).expiries) == []
        assert await expire(own) == 0
        assert await own.balance(member) == 5


@pytest.mark.covers("P7 PointsService.ListMyExpiries")
async def test_members_see_what_expires_when_the_soonest_first(own: OwnService, platform: Platform) -> None:
    member, other = await platform.member(), await platform.member()
    for points in (1, 2, 4, 8, 16):
        await own.earn(member, points)
    await own.earn(other, 100)
    soon, later = utc_now() + timedelta(days=1), utc_now() + timedelta(days=2)
    await let_time_pass(own, member, 2, 4, until=later)
    await let_time_pass(own, member, 3, until=soon)
    await execute(own, "UPDATE lots SET expires_at = NULL WHERE member_id = %(id)s AND id = 5", id=member.id)
    whole = (await expiries(own, member)).expiries
    assert [one.points for one in whole] == [4, 10, 1]
    assert whole[0].expires_at.ToDatetime(tzinfo=UTC) == soon
    found: list[points_pb2.Expiry] = []
    token = ""
    while True:
        page = await expiries(own, member, page_size=1, page_token=token)
        found += page.expiries
        token = page.next_page_token
        if not token:
            break
    assert found == list(whole)
    first = await expiries(own, member, page_size=1)
    assert await reason(expiries(own, other, page_token=first.next_page_token)) == "PAGE_TOKEN_NOT_VALID"
    await own.debit(uuid4(), member, 2)
    assert [one.points for one in (await expiries(own, member)).expiries] == [4, 9], "the oldest were spent"


@pytest.mark.covers("P7 PointsService.ListMyExpiries")
async def test_what_is_due_is_taken_once_with_an_entry(own: OwnService, platform: Platform) -> None:
    member = await platform.member()
    for points in (10, 20, 40):
        await own.earn(member, points)
    await own.debit(uuid4(), member, 5)
    await let_time_pass(own, member, 1)
    await let_time_pass(own, member, 2, until=AT_MIDNIGHT + timedelta(days=1))
    assert await own.balance(member) == 65
    assert await expire(own) == 25
    assert await own.balance(member) == 40, "the cache was told"
    assert await lots(own, member) == [(10, 0, 5), (20, 0, 20), (40, 40, 0)]
    [entry] = (await own.entries(member, kind=EXPIRE)).entries
    assert (entry.delta, entry.balance_after) == (-25, 40)
    assert entry.expired_at.ToJsonString() == "2026-01-02T00:00:00Z"
    for _ in range(3):
        assert await expire(own) == 0
    assert len((await own.entries(member)).entries) == 5
    await own.assert_balanced()


@pytest.mark.covers("P7 PointsService.ListMyExpiries")
async def test_nothing_expires_a_moment_too_early(own: OwnService, platform: Platform) -> None:
    member = await platform.member()
    await own.earn(member, 10)
    await let_time_pass(own, member, until=utc_now() + timedelta(seconds=30))
    assert await expire(own) == 0
    await let_time_pass(own, member, until=utc_now())
    assert await expire(own) == 10


@pytest.mark.covers("P8 PointsInternalService.UndoDebit")
async def test_points_that_an_undo_brings_back_after_their_time_expire_at_the_next_run(
    own: OwnService, platform: Platform
) -> None:
    member, order = await platform.member(), uuid4()
    await own.earn(member, 10)
    await own.debit(order, member, 10)
    await let_time_pass(own, member)
    assert await expire(own) == 0
    await own.undo(order, member)
    assert await own.balance(member) == 10
    assert await expire(own) == 10
    assert await lots(own, member) == [(10, 0, 10)]
    await own.assert_balanced()


async def test_expired_points_are_not_taken_twice_by_a_refund(own: OwnService, platform: Platform) -> None:
    member = await platform.member()
    bought = await own.earn(member, 10)
    await own.earn(member, 3)
    await let_time_pass(own, member, 1)
    assert await expire(own) == 10
    back = await refund(own, bought.purchase.id)
    assert (back.refund.points, back.refund.points_expired, back.refund.points_taken) == (10, 10, 0)
    assert await own.balance(member) == 3
    await own.assert_balanced()


async def many_members(own: OwnService, number: int, lots_each: int = 2) -> None:
    """Members with lots of 3 points each that are due, and one of 5 that is not."""
    points, left = 3 * lots_each + 5, lots_each + 1
    await execute(
        own,
        "WITH m AS (INSERT INTO accounts (member_id, balance, version, purchases)"
        " SELECT gen_random_uuid(), %(points)s, %(left)s, 0 FROM generate_series(1, %(number)s)"
        " RETURNING member_id),"
        " n AS (SELECT member_id, i, CASE WHEN i < %(left)s THEN 3 ELSE 5 END AS points"
        " FROM m, generate_series(1, %(left)s) AS i),"
        " e AS (INSERT INTO ledger_entries (member_id, sequence, kind, delta, balance_after, reference)"
        " SELECT member_id, i, 'ADJUST', points, sum(points) OVER (PARTITION BY member_id ORDER BY i), 'x'"
        " FROM n)"
        " INSERT INTO lots (member_id, id, earned, remaining, expires_at)"
        " SELECT member_id, i, points, points,"
        " CASE WHEN i < %(left)s THEN %(at)s::timestamptz + i * interval '1 day'"
        " ELSE now() + interval '1 day' END FROM n",
        number=number,
        points=points,
        left=left,
        at=AT_MIDNIGHT,
    )


async def assert_each_once(own: OwnService) -> None:
    """All that is due is gone, by one entry of each member about the whole."""
    assert await own.rows("SELECT DISTINCT balance FROM accounts") == [(5,)]
    entries = (
        "SELECT count(*), count(DISTINCT member_id), sum(delta) FROM ledger_entries WHERE kind = 'EXPIRE'"
    )
    [(number,)] = await own.rows("SELECT count(*) FROM accounts")
    [(lost,)] = await own.rows("SELECT sum(expired) FROM lots")
    assert await own.rows(entries) == [(number, number, -lost)]
    await own.assert_balanced()


@pytest.mark.covers("P7 PointsService.ListMyExpiries")
async def test_a_batch_is_bounded_and_batches_go_on_until_nothing_is_due(own: OwnService) -> None:
    await many_members(own, 25)
    await own.assert_balanced()
    first = await own.database.run(expire_lots, limit=10)
    assert len(first.members) == 10
    assert first.points == 60
    assert first.more
    [(left,)] = await own.rows("SELECT count(*) FROM accounts WHERE balance > 5")
    assert left == 15
    assert await expire(own) == 15 * 6
    await assert_each_once(own)


async def test_a_member_with_more_lots_than_a_batch_takes_loses_them_batch_by_batch(own: OwnService) -> None:
    await many_members(own, 5)
    place, taken = None, []
    while True:
        batch = await own.database.run(expire_lots, place, most_lots=4)
        taken.append(batch.points)
        place = batch.last
        if not batch.more:
            break
    assert len(taken) > 2
    assert sum(taken) == 5 * 6
    assert await own.rows("SELECT DISTINCT balance FROM accounts") == [(5,)]
    await own.assert_balanced()


async def test_more_than_a_batch_expires_in_one_run(own: OwnService) -> None:
    await many_members(own, 1_300)
    assert await expire(own) == 1_300 * 6
    await assert_each_once(own)


@pytest.mark.covers("P7 PointsService.ListMyExpiries")
async def test_several_workers_at_once_take_everything_once(own: OwnService) -> None:
    await many_members(own, 1_300, 3)
    taken = await asyncio.gather(*(expire(own) for _ in range(4)))
    assert sum(taken) + await expire(own) == 1_300 * 9
    await assert_each_once(own)


async def test_a_member_whose_account_is_locked_is_left_to_the_next_run(own: OwnService) -> None:
    await many_members(own, 3)
    [(busy,)] = await own.rows("SELECT member_id FROM accounts ORDER BY member_id LIMIT 1")
    locked, done = asyncio.Event(), asyncio.Event()

    async def hold(connection: Connection) -> None:
        await connection.execute("SELECT 1 FROM accounts WHERE member_id = %(id)s FOR UPDATE", {"id": busy})
        locked.set()
        await done.wait()

    async def run() -> int:
        await locked.wait()
        taken = await expire(own)
        done.set()
        return taken

    results = await asyncio.gather(own.database.run(hold), run())
    assert results[1] == 12
    assert await expire(own) == 6
    await assert_each_once(own)


async def test_expiry_amid_purchases_debits_undos_refunds_and_adjustments(
    own: OwnService, platform: Platform
) -> None:
    members = [await platform.member() for _ in range(4)]
    manager = Manager(own, await platform.token("manager"))
    bought = {member.id: [await own.earn(member, 20) for _ in range(6)] for member in members}
    orders = {member.id: [uuid4() for _ in range(4)] for member in members}
    for member in members:
        for order in orders[member.id]:
            await own.debit(order, member, 7)
        await let_time_pass(own, member, 1, 2, 3, 4)
    calls: list[Any] = []
    for member in members:
        calls += [own.undo(order, member) for order in orders[member.id]]
        calls += [own.debit(uuid4(), member, 9) for _ in range(6)]
        calls += [refund(own, one.purchase.id) for one in bought[member.id][:3]]
        calls += [own.earn(member, 2) for _ in range(6)]
        calls += [manager.adjust(member.id, delta) for delta in (5, -5)]
    results = await asyncio.gather(*calls, *(expire(own) for _ in range(8)), return_exceptions=True)
    assert [str(one) for one in results if isinstance(one, BaseException) and not _refused(one)] == []
    assert all(isinstance(one, int) for one in results[len(calls) :])
    await own.assert_balanced()
    await expire(own)
    due = "SELECT sum(remaining) FROM lots WHERE expires_at <= now() AND remaining > 0"
    assert await own.rows(due) == [(None,)]
    assert await own.rows("SELECT 1 FROM ledger_entries WHERE balance_after < 0") == []
    await own.assert_balanced()


def _refused(error: BaseException) -> bool:
    """Returns whether it is the refusal of one who has too few points."""
    return isinstance(error, grpc.aio.AioRpcError) and "there are" in (error.details() or "")


async def test_a_debit_that_waits_for_the_expiry_finds_only_what_is_left(
    own: OwnService, platform: Platform
) -> None:
    member, taken = await platform.member(), asyncio.Event()
    await own.earn(member, 10)
    await own.earn(member, 5)
    await let_time_pass(own, member, 1)

    async def slowly(connection: Connection) -> None:
        assert (await expire_lots(connection)).points == 10
        taken.set()
        await asyncio.sleep(0.3)

    async def debit(points: int) -> str:
        await taken.wait()
        try:
            return str(await own.debit(uuid4(), member, points))
        except grpc.aio.AioRpcError as error:
            return error.details() or ""

    results = await asyncio.gather(own.database.run(slowly), debit(6), debit(5))
    assert "there are" in str(results[1])
    assert results[2] == "0"
    assert await lots(own, member) == [(10, 0, 10), (5, 0, 0)]
    await own.assert_balanced()


@pytest.mark.covers("P7 PointsService.ListMyExpiries")
async def test_a_worker_killed_amid_the_expiry_loses_and_repeats_nothing(own: OwnService) -> None:
    number = 20_000
    await many_members(own, number)

    async def expired() -> int:
        [(count,)] = await own.rows("SELECT count(*) FROM ledger_entries WHERE kind = 'EXPIRE'")
        return int(count)

    async def begun() -> None:
        assert await expired()

    async with worker(own) as process:
        await eventually(begun, seconds=30)
        process.kill()
        await asyncio.to_thread(process.wait)
    assert 0 < await expired() < number, "it was killed amid the work"
    await own.assert_balanced()
    async with worker(own):

        async def over() -> None:
            assert await expired() == number

        await eventually(over, seconds=60)
    await assert_each_once(own)


async def break_account(own: OwnService, member_id: object) -> None:
    """Its next entry would have a number that is taken."""
    await execute(own, "UPDATE accounts SET version = version - 1 WHERE member_id = %(id)s", id=member_id)


async def kept(own: OwnService) -> list[tuple[Any, ...]]:
    """Returns whose points are set aside, after how many tries, and why."""
    return await own.rows("SELECT id, attempts, error FROM set_aside WHERE kind = 'EXPIRY' ORDER BY id")


async def test_an_account_that_is_inconsistent_is_set_aside_and_all_others_lose_what_is_due(
    own: OwnService, caplog: pytest.LogCaptureFixture
) -> None:
    await many_members(own, 700)
    found = await own.rows("SELECT member_id FROM accounts ORDER BY member_id LIMIT 3 OFFSET 100")
    broken = [member_id for (member_id,) in found]
    for member_id in broken:
        await break_account(own, member_id)
    assert await expire(own) == 697 * 6
    assert [row[:2] for row in await kept(own)] == [(str(member_id), 1) for member_id in broken]
    assert all(error == "UnforeseenError 23505 pk_ledger_entries" for _, _, error in await kept(own))
    told = [r.getMessage() for r in caplog.records if r.exc_info and "set aside" in r.getMessage()]
    assert len(told) == 3
    left = "SELECT count(*) FROM accounts WHERE balance > 5"
    assert await own.rows(left) == [(3,)]


async def test_who_is_set_aside_waits_is_tried_again_and_forgotten_when_it_is_mended(
    own: OwnService, platform: Platform
) -> None:
    member = await platform.member()
    await own.earn(member, 10)
    await let_time_pass(own, member)
    await break_account(own, member.id)
    assert await expire(own) == 0
    assert await expire(own) == 0
    assert [attempts for _, attempts, _ in await kept(own)] == [1], "it waits for its time"
    await execute(own, "UPDATE set_aside SET next_attempt_at = now()")
    assert await expire(own) == 0
    assert [attempts for _, attempts, _ in await kept(own)] == [2]
    await execute(own, "UPDATE accounts SET version = version + 1 WHERE member_id = %(id)s", id=member.id)
    await execute(own, "UPDATE set_aside SET next_attempt_at = now()")
    assert await expire(own) == 10
    assert await kept(own) == []
    assert await own.balance(member) == 0
    await own.assert_balanced()


async def test_a_worker_with_such_an_account_lives_and_lets_the_others_points_expire(
    own: OwnService, platform: Platform
) -> None:
    broken, well = await platform.member(), await platform.member()
    for member in (broken, well):
        await own.earn(member, 10)
        await let_time_pass(own, member)
    await break_account(own, broken.id)
    async with worker(own) as process:

        async def gone() -> None:
            assert await own.balance(well) == 0

        await eventually(gone)
        assert process.poll() is None
    assert [one for one, _, _ in await kept(own)] == [str(broken.id)]


async def test_the_worker_lets_points_expire_by_itself(own: OwnService, platform: Platform) -> None:
    member = await platform.member()
    await own.earn(member, 10)
    await let_time_pass(own, member)
    assert await own.balance(member) == 10
    async with worker(own):

        async def gone() -> None:
            assert await own.balance(member) == 0

        await eventually(gone, seconds=20)
