"""What members see: balance, movements, purchases; and what is known of them from identity."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis.asyncio as redis
from google.protobuf import timestamp_pb2
from scrip.common.internal.v1 import member_events_pb2, member_events_pb2_grpc
from scrip.points.v1 import points_pb2, points_pb2_grpc

from services.points.balances import BALANCE_KEYS
from services.points.tests.support import Points, receipt
from stack.redis import Redis
from tests.inprocess import Member, Platform, bearer, reason

REGISTERED = member_events_pb2.MEMBER_EVENT_TYPE_REGISTERED
FIRST_LOGIN = member_events_pb2.MEMBER_EVENT_TYPE_FIRST_LOGIN
EARN, SPEND = points_pb2.ENTRY_KIND_EARN, points_pb2.ENTRY_KIND_SPEND


@pytest.fixture
async def cache(platform: Platform) -> AsyncIterator[redis.Redis]:
    """Redis, as anybody sees it."""
    client = redis.Redis.from_url(platform.redis_url, decode_responses=True)
    yield client
    await client.aclose()


async def test_who_never_earned_has_nothing(points: Points, platform: Platform) -> None:
    member = await platform.member()
    assert await points.balance(member) == 0
    assert await points.entries(member) == points_pb2.ListMyEntriesResponse()
    assert await points.purchases(member) == points_pb2.ListMyPurchasesResponse()
    await points.earn(member, 3)
    assert await points.balance(member) == 3


@pytest.mark.covers("P4 PointsService.GetMyBalance")
async def test_every_change_is_seen_at_once(points: Points, platform: Platform) -> None:
    member, order = await platform.member(), uuid4()
    assert await points.balance(member) == 0
    await points.earn(member, 60)
    assert await points.balance(member) == 60
    await points.debit(order, member, 50)
    assert await points.balance(member) == 10
    await points.undo(order, member)
    assert await points.balance(member) == 60


async def kept(cache: redis.Redis, member: Member) -> str:
    """Returns what the cache holds of a member's balance, without its epoch."""
    keys = await cache.keys(f"{BALANCE_KEYS}*:{member.id}")
    values = [str(await cache.get(key) or "") for key in keys]
    assert len(values) <= 1
    return values[0].partition(":")[2] if values else ""


async def put(cache: redis.Redis, member: Member, balance: int) -> None:
    """Puts a balance in place of the one that is kept."""
    [key] = await cache.keys(f"{BALANCE_KEYS}*:{member.id}")
    held = str(await cache.get(key) or "")
    await cache.set(key, f"{held.partition(':')[0]}:={balance}", ex=60)


async def test_a_balance_is_kept_when_it_is_read_and_void_when_points_move(
    points: Points, platform: Platform, cache: redis.Redis
) -> None:
    member = await platform.member()
    await points.earn(member, 60)
    assert await kept(cache, member) == ""
    assert await points.balance(member) == 60
    assert await kept(cache, member) == "=60"
    [key] = await cache.keys(f"{BALANCE_KEYS}*:{member.id}")
    assert 0 < await cache.ttl(key) <= 60
    await put(cache, member, 777)
    assert await points.balance(member) == 777
    first = receipt(member.code)
    await points.record(first)
    assert await kept(cache, member) == ""
    assert await points.balance(member) == 61
    await put(cache, member, 60)
    await points.record(first)  # who recorded it first may have died before it voided the cache
    assert await points.balance(member) == 61


async def test_repetitions_of_a_debit_and_of_its_undoing_void_what_is_kept(
    points: Points, platform: Platform, cache: redis.Redis
) -> None:
    member, order = await platform.member(), uuid4()
    await points.earn(member, 60)
    await points.debit(order, member, 50)
    assert await points.balance(member) == 10
    await put(cache, member, 60)
    assert await points.debit(order, member, 50) == 10
    assert await points.balance(member) == 10
    await points.undo(order, member)
    assert await points.balance(member) == 60
    await put(cache, member, 10)
    await points.undo(order, member)
    assert await points.balance(member) == 60


@pytest.mark.covers("P4 PointsService.GetMyBalance")
async def test_the_balance_is_right_after_redis_forgot_everything(
    points: Points, platform: Platform, cache: redis.Redis
) -> None:
    member = await platform.member()
    await points.earn(member, 60)
    assert await points.balance(member) == 60
    await cache.flushall()
    assert await points.balance(member) == 60
    assert await kept(cache, member) == "=60"
    await cache.flushall()
    await points.earn(member, 1)
    assert await points.balance(member) == 61


@pytest.mark.covers("P4 PointsService.GetMyBalance")
async def test_everything_goes_on_without_redis(
    points: Points, platform: Platform, redis_server: Redis
) -> None:
    member, order = await platform.member(), uuid4()
    await points.earn(member, 60)
    redis_server.stop()
    try:
        assert await points.balance(member) == 60
        for _ in range(10):
            await points.earn(member, 1)
        assert await points.debit(order, member, 30) == 40
        assert await points.balance(member) == 40
        await points.undo(order, member)
        assert await points.balance(member) == 70
    finally:
        redis_server.start()
    await asyncio.sleep(1.1)  # until the breaker tries Redis again
    assert await points.balance(member) == 70
    await points.earn(member, 1)
    assert await points.balance(member) == 71


@pytest.mark.covers("P4 PointsService.ListMyEntries")
async def test_paging_neither_skips_nor_repeats_while_new_ones_arrive(
    points: Points, platform: Platform
) -> None:
    member = await platform.member()
    numbers = [(await points.earn(member, n)).purchase.receipt_number for n in range(1, 26)]
    entries: list[points_pb2.Entry] = []
    purchases: list[str] = []
    entry_token = purchase_token = ""
    while True:
        entry_page = await points.entries(member, page_size=7, page_token=entry_token)
        purchase_page = await points.purchases(member, page_size=7, page_token=purchase_token)
        entries += entry_page.entries
        purchases += [purchase.receipt_number for purchase in purchase_page.purchases]
        entry_token, purchase_token = entry_page.next_page_token, purchase_page.next_page_token
        assert bool(entry_token) == bool(purchase_token)
        if not entry_token:
            break
        await asyncio.gather(*[points.earn(member, 100) for _ in range(3)])
    assert [entry.sequence for entry in entries] == list(range(25, 0, -1))
    assert [entry.delta for entry in entries] == list(range(25, 0, -1))
    assert purchases == numbers[::-1]


@pytest.mark.covers("P4 PointsService.ListMyPurchases")
async def test_purchases_are_listed_as_their_till_was_answered(points: Points, platform: Platform) -> None:
    member = await platform.member()
    answered = [(await points.earn(member, n)).purchase for n in (1, 0, 5)]
    assert list((await points.purchases(member)).purchases) == answered[::-1]


@pytest.mark.covers("P4 PointsService.ListMyEntries")
async def test_entries_are_filtered_by_kind(points: Points, platform: Platform) -> None:
    member = await platform.member()
    for number in (1, 2, 3):
        await points.earn(member, number)
        await points.debit(uuid4(), member, 1)
    first = await points.entries(member, kind=EARN, page_size=2)
    assert [entry.delta for entry in first.entries] == [3, 2]
    assert {entry.kind for entry in first.entries} == {EARN}
    rest = await points.entries(member, kind=EARN, page_size=2, page_token=first.next_page_token)
    assert [entry.delta for entry in rest.entries] == [1]
    assert rest.next_page_token == ""
    assert [entry.delta for entry in (await points.entries(member, kind=SPEND)).entries] == [-1, -1, -1]


async def test_a_token_of_another_list_is_refused(points: Points, platform: Platform) -> None:
    member, other = await platform.member(), await platform.member()
    for _ in range(2):
        await points.earn(member, 1)
    token = (await points.entries(member, page_size=1)).next_page_token
    bought = (await points.purchases(member, page_size=1)).next_page_token
    for call in (
        points.entries(member, page_size=1, page_token=token, kind=EARN),
        points.entries(other, page_size=1, page_token=token),
        points.purchases(member, page_size=1, page_token=token),
        points.purchases(other, page_size=1, page_token=bought),
        points.entries(member, page_token="nonsense"),
    ):
        assert await reason(call) == "PAGE_TOKEN_NOT_VALID"


@pytest.mark.parametrize("fields", [{"page_size": -1}, {"page_size": 201}, {"kind": 99}])
async def test_a_malformed_list_call_is_refused(
    points: Points, platform: Platform, fields: dict[str, Any]
) -> None:
    assert await reason(points.entries(await platform.member(), **fields)) == "VALIDATION_FAILED"


@pytest.mark.covers("P4 PointsService.ListMyPurchases")
async def test_members_see_only_their_own(points: Points, platform: Platform) -> None:
    member, other = await platform.member(), await platform.member()
    await points.earn(member, 60)
    assert await points.balance(other) == 0
    assert list((await points.entries(other)).entries) == []
    assert list((await points.purchases(other)).purchases) == []


async def test_tills_and_strangers_see_no_points(points: Points) -> None:
    stub = points_pb2_grpc.PointsServiceStub(points.channel)
    till = bearer(points.till)
    balance, entries = points_pb2.GetMyBalanceRequest(), points_pb2.ListMyEntriesRequest()
    purchases = points_pb2.ListMyPurchasesRequest()
    assert await reason(stub.GetMyBalance(balance, metadata=till)) == "ROLE_NOT_ALLOWED"
    assert await reason(stub.ListMyEntries(entries, metadata=till)) == "ROLE_NOT_ALLOWED"
    assert await reason(stub.ListMyPurchases(purchases, metadata=till)) == "ROLE_NOT_ALLOWED"
    assert await reason(stub.GetMyBalance(balance)) == "TOKEN_MISSING"
    assert await reason(stub.ListMyEntries(entries)) == "TOKEN_MISSING"
    assert await reason(stub.ListMyPurchases(purchases)) == "TOKEN_MISSING"


async def heard_of(points: Points, member_id: UUID) -> list[tuple[Any, ...]]:
    """Returns what points keeps of a member."""
    query = "SELECT version, registered_at FROM members WHERE member_id = %(id)s"
    return await points.rows(query, id=member_id)


async def test_a_member_event_is_applied_once_and_older_ones_are_ignored(
    points: Points, platform: Platform
) -> None:
    stub = member_events_pb2_grpc.MemberEventsServiceStub(points.channel)
    identity = bearer(await platform.service_token("identity"))
    member_id = uuid4()

    def event(
        version: int, kind: member_events_pb2.MemberEventType.ValueType, seconds: int
    ) -> member_events_pb2.ApplyRequest:
        return member_events_pb2.ApplyRequest(
            event_id=str(uuid4()),
            member_id=str(member_id),
            version=version,
            type=kind,
            occurred_at=timestamp_pb2.Timestamp(seconds=seconds),
        )

    registered = datetime.fromtimestamp(1_000, UTC)
    await stub.Apply(event(1, REGISTERED, 1_000), metadata=identity)
    assert await heard_of(points, member_id) == [(1, registered)]
    await stub.Apply(event(1, REGISTERED, 2_000), metadata=identity)
    assert await heard_of(points, member_id) == [(1, registered)]
    await stub.Apply(event(2, FIRST_LOGIN, 3_000), metadata=identity)
    assert await heard_of(points, member_id) == [(2, registered)]
    repeated = [stub.Apply(event(1, REGISTERED, 4_000), metadata=identity) for _ in range(5)]
    await asyncio.gather(*repeated)
    assert await heard_of(points, member_id) == [(2, registered)]


async def test_only_identity_tells_of_members(points: Points) -> None:
    stub = member_events_pb2_grpc.MemberEventsServiceStub(points.channel)
    request = member_events_pb2.ApplyRequest(
        event_id=str(uuid4()),
        member_id=str(uuid4()),
        version=1,
        type=REGISTERED,
        occurred_at=timestamp_pb2.Timestamp(seconds=1),
    )
    assert await reason(stub.Apply(request, metadata=bearer(points.vouchers))) == "ROLE_NOT_ALLOWED"
    assert await reason(stub.Apply(request, metadata=bearer(points.till))) == "TOKEN_NOT_VALID"
