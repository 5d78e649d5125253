"""The quantity left, told by Redis to all who watch it in whatever process, and found without it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest
from scrip.vouchers.v1 import catalogue_pb2, catalogue_pb2_grpc, shop_pb2, shop_pb2_grpc

from services.common import server_sent_events
from services.common.cache import Redis
from services.common.db import Database, execute
from services.common.housekeeping import end
from services.common.live_streams import LiveStream, LiveStreams
from services.vouchers.catalogue.quantity import Quantities, Watched
from services.vouchers.catalogue.quantity_changes import QuantityChanges
from services.vouchers.tests.support import Create
from tests.inprocess import Platform, bearer, reason
from tests.spare_redis import SpareRedis
from tests.waiting import eventually

NEVER = 3_600.0
TOLD = 1_000


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[SpareRedis]:
    server = SpareRedis(tmp_path / "redis")
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def db(platform: Platform) -> AsyncIterator[Database]:
    db = Database(platform.settings["vouchers"].database_url, pool_size=2)
    yield db
    await db.close()


@pytest.fixture
def shop(platform: Platform) -> shop_pb2_grpc.ShopServiceStub:
    """Calls to ShopService."""
    return shop_pb2_grpc.ShopServiceStub(platform.channels["vouchers"])


@asynccontextmanager
async def told_by(url: str) -> AsyncIterator[QuantityChanges]:
    """What a process tells and hears."""
    redis = Redis(url)
    changes = QuantityChanges(redis, url)
    yield changes
    await changes.close()
    await redis.close()


@asynccontextmanager
async def watching(
    db: Database, url: str, voucher_id: str, *, look_seconds: float
) -> AsyncIterator[tuple[Watched, LiveStream]]:
    """A process in which somebody watches a voucher."""
    async with AsyncExitStack() as opened:
        changes = await opened.enter_async_context(told_by(url))
        quantities = Quantities(db, changes, look_seconds=look_seconds)
        tasks = [asyncio.ensure_future(loop()) for loop in (quantities.listen, quantities.look)]
        opened.push_async_callback(end, tasks)
        stream = await opened.enter_async_context(LiveStreams("vouchers", most=1).open())
        yield await opened.enter_async_context(quantities.watch(UUID(voucher_id), stream)), stream


async def change(db: Database, voucher_id: str, quantity: int) -> None:
    """Changes what is left, and tells nobody."""
    statement = "UPDATE vouchers SET quantity = %(quantity)s WHERE id = %(id)s"
    await db.run(execute, statement, quantity=quantity, id=voucher_id)


async def sees_when_told(other: QuantityChanges, voucher_id: str, watched: Watched, quantity: int) -> None:
    """The other process tells until it is seen: a subscription or a connection may begin a moment later."""

    async def seen() -> None:
        other.tell([UUID(voucher_id)])
        assert watched.left
        assert watched.left.quantity == quantity

    await eventually(seen)


async def sees(watched: Watched, quantity: int) -> None:
    async def seen() -> None:
        assert watched.left
        assert watched.left.quantity == quantity

    await eventually(seen)


@pytest.mark.covers("V4 ShopService.WatchQuantity")
async def test_a_change_is_told_to_those_who_watch_in_another_process(
    db: Database, own_redis: SpareRedis, create: Create
) -> None:
    voucher_id = (await create(quantity=3)).id
    async with (
        told_by(own_redis.url) as other,
        watching(db, own_redis.url, voucher_id, look_seconds=NEVER) as (watched, stream),
    ):
        first = watched.left
        assert first
        await change(db, voucher_id, 2)
        await sees_when_told(other, voucher_id, watched, 2)
        assert watched.left
        assert watched.left.read_at > first.read_at
        assert await stream.goes_on(0.0), "it was woken"


@pytest.mark.covers("V4 ShopService.WatchQuantity")
async def test_what_changed_while_redis_was_away_is_seen_when_it_is_back(
    db: Database, own_redis: SpareRedis, create: Create
) -> None:
    voucher_id = (await create(quantity=3)).id
    async with (
        told_by(own_redis.url) as other,
        watching(db, own_redis.url, voucher_id, look_seconds=NEVER) as (watched, _),
    ):
        await change(db, voucher_id, 9)
        await sees_when_told(other, voucher_id, watched, 9)
        own_redis.stop()
        await change(db, voucher_id, 8)
        other.tell([UUID(voucher_id)])
        own_redis.start()
        await sees(watched, 8)
        await change(db, voucher_id, 7)
        await sees_when_told(other, voucher_id, watched, 7)


@pytest.mark.covers("V4 ShopService.WatchQuantity")
async def test_without_redis_a_change_is_found_by_looking(
    db: Database, own_redis: SpareRedis, create: Create
) -> None:
    voucher_id = (await create(quantity=3)).id
    own_redis.stop()
    async with watching(db, own_redis.url, voucher_id, look_seconds=0.1) as (watched, _):
        await change(db, voucher_id, 2)
        await sees(watched, 2)


async def test_a_crowd_of_changes_takes_few_messages(own_redis: SpareRedis) -> None:
    voucher_ids = [UUID(int=number) for number in range(5)]
    heard: list[set[UUID] | None] = []
    async with told_by(own_redis.url) as changes:

        async def listen() -> None:
            async for changed in changes.heard():
                heard.append(None if changed is None else set(changed))  # noqa: PERF401  # it is looked at meanwhile

        task = asyncio.ensure_future(listen())

        async def subscribed() -> None:
            assert heard == [None]

        await eventually(subscribed)
        for number in range(TOLD):
            changes.tell([voucher_ids[number % len(voucher_ids)]])
            await asyncio.sleep(0)

        async def all_told() -> None:
            assert set().union(*(one for one in heard if one)) == set(voucher_ids)

        await eventually(all_told)
        await end([task])
    assert len(heard) < TOLD / 10


@pytest.mark.covers("V4 ShopService.WatchQuantityEvents")
async def test_events_have_ids_and_silence_has_a_heartbeat_until_the_sale_ends(
    platform: Platform, create: Create, shop: shop_pb2_grpc.ShopServiceStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_sent_events, "HEARTBEAT_SECONDS", 0.2)
    voucher, admin = await create(quantity=3), bearer(await platform.admin())
    request = shop_pb2.WatchQuantityEventsRequest(voucher_id=voucher.id)
    stream = aiter(shop.WatchQuantityEvents(request, metadata=bearer((await platform.member()).token)))

    async def next_piece() -> str:
        piece = await anext(stream)
        assert piece.content_type == "text/event-stream"
        return piece.data.decode()

    assert await next_piece() == "retry: 2000\n\n"
    event_id, _, data = (await next_piece()).partition("\n")
    assert int(event_id.removeprefix("id: ")) > 1_700_000_000_000
    assert data == 'data: {"quantity_left":3}\n\n'
    assert await next_piece() == ": still here\n\n"
    archived = catalogue_pb2.ArchiveVoucherRequest(voucher_id=voucher.id)
    catalogue = catalogue_pb2_grpc.CatalogueServiceStub(platform.channels["vouchers"])
    await catalogue.ArchiveVoucher(archived, metadata=admin)
    async for piece in stream:
        assert piece.data == b": still here\n\n"


@pytest.mark.covers("V4 ShopService.WatchQuantityEvents")
async def test_nothing_is_sent_but_changes(
    platform: Platform, create: Create, shop: shop_pb2_grpc.ShopServiceStub
) -> None:
    voucher, admin = await create(quantity=3), bearer(await platform.admin())
    request = shop_pb2.WatchQuantityEventsRequest(voucher_id=voucher.id)
    stream = aiter(shop.WatchQuantityEvents(request, metadata=bearer((await platform.member()).token)))
    first = [(await anext(stream)).data for _ in range(2)]
    catalogue = catalogue_pb2_grpc.CatalogueServiceStub(platform.channels["vouchers"])
    archived = catalogue_pb2.ArchiveVoucherRequest(voucher_id=voucher.id)
    await catalogue.ArchiveVoucher(archived, metadata=admin)
    assert first[0].startswith(b"retry: ")
    assert [piece.data async for piece in stream] == []


@pytest.mark.covers("V4 ShopService.WatchQuantityEvents")
async def test_watching_what_is_not_on_sale_is_refused_over_rest_too(
    platform: Platform, shop: shop_pb2_grpc.ShopServiceStub
) -> None:
    request = shop_pb2.WatchQuantityEventsRequest(voucher_id="00000000-0000-7000-8000-000000000000")
    stream = aiter(shop.WatchQuantityEvents(request, metadata=bearer((await platform.member()).token)))

    async def first() -> object:
        return await anext(stream)

    assert await reason(first()) == "VOUCHER_NOT_FOUND"
