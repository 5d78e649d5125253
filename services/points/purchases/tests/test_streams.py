"""Streams: results in order, a bounded number of receipts at work, and an end that loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from itertools import count
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from scrip.points.v1 import purchase_pb2, purchase_pb2_grpc

from services.points.purchases import streams as purchase_streams
from services.points.purchases.streams import MOST_UNANSWERED, PurchaseStream
from services.points.purchases.tests.test_batches import batch, reason_of
from services.points.tests.support import Points, item, receipt
from tests.inprocess import InProcess, Platform, bearer, eventually

Request = purchase_pb2.StreamPurchasesRequest
Receipt = purchase_pb2.RecordPurchaseRequest
Answer = purchase_pb2.StreamPurchasesResponse
Result = purchase_pb2.PurchaseResult


def open_stream(
    points: Points, requests: Any = None, token: str = "", channel: grpc.aio.Channel | None = None
) -> Any:
    """Returns a stream, as the till; without requests it is written to and read from."""
    stub = purchase_pb2_grpc.PurchaseServiceStub(channel or points.channel)
    return stub.StreamPurchases(requests, metadata=bearer(token or points.till))


async def sent(receipts: Sequence[Receipt], at_once: int = 1) -> AsyncIterator[Request]:
    """A stream's requests, with so many receipts each."""
    for begin in range(0, len(receipts), at_once):
        yield Request(purchases=receipts[begin : begin + at_once])


async def results_of(answers: AsyncIterable[Answer]) -> list[Result]:
    """Returns the results of all responses, whose positions have no gap."""
    found: list[Result] = []
    async for answer in answers:
        assert answer.results
        assert answer.first_position == len(found) + 1
        found += answer.results
    return found


async def ended(call: Any, results: list[Result]) -> str:
    """Reads all results; the reason with which the stream ended, or an empty text."""
    try:
        while (answer := await call.read()) is not grpc.aio.EOF:
            assert answer.first_position == len(results) + 1
            results += answer.results
    except grpc.aio.AioRpcError as error:
        refused = error
    else:
        return ""
    status = rpc_status.from_call(refused)  # type: ignore[arg-type]  # it has what a Call has
    info = error_details_pb2.ErrorInfo()
    assert status, refused
    assert status.details[0].Unpack(info)
    return info.reason


@pytest.mark.covers("P2 PurchaseService.StreamPurchases")
@pytest.mark.parametrize("at_once", [1, 7, 1_000])
async def test_each_receipt_is_answered_in_order(points: Points, platform: Platform, at_once: int) -> None:
    members = [await platform.member() for _ in range(5)]
    receipts = [receipt(members[n % 5].code, item(1_000)) for n in range(2_500)]
    receipts[10] = receipt(members[0].code, item(-1))
    receipts[20] = receipt("NOBODY")
    receipts[30] = receipts[3]
    results = await results_of(open_stream(points, sent(receipts, at_once)))
    reasons = [reason_of(result) for result in results]
    assert (reasons[10], reasons[20]) == ("VALIDATION_FAILED", "MEMBER_CODE_UNKNOWN")
    assert reasons.count("recorded") == 2_498
    assert [result.recorded.purchase.receipt_number for result in results[40:]] == [
        one.receipt_number for one in receipts[40:]
    ]
    assert results[30] == results[3]
    assert sum([await points.balance(member) for member in members]) == 2_497
    assert await batch(points, receipts[40:140]) == results[40:140]
    await points.assert_balanced()


async def test_a_lone_receipt_is_answered_while_the_stream_stays_open(
    points: Points, platform: Platform
) -> None:
    member, call = await platform.member(), open_stream(points)
    for position in (1, 2, 3):
        await call.write(Request(purchases=[receipt(member.code, item(1_000))]))
        async with asyncio.timeout(5):
            answer = await call.read()
        assert answer.first_position == position
        assert [result.recorded.balance_after for result in answer.results] == [position]
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF


@pytest.mark.covers("P2 PurchaseService.StreamPurchases")
async def test_a_client_that_reads_no_answers_is_not_read_from(points: Points, platform: Platform) -> None:
    member, written = await platform.member(), 0
    await points.earn(member, 1)
    # As the edge does, it gives a stream 64 KiB, and no more while it goes well.
    target, narrow = platform.targets["points"], [("grpc.http2.bdp_probe", 0)]
    channel = grpc.aio.insecure_channel(target, options=narrow)
    call = open_stream(points, channel=channel)

    async def write_without_end() -> None:
        nonlocal written
        while True:
            await call.write(Request(purchases=[receipt(member.code, *[item(1_000)] * 5)]))
            written += 1

    writing = asyncio.create_task(write_without_end())
    before = -1
    while written > before:  # until it stands still
        before = written
        await asyncio.sleep(1.0)
    assert 0 < written < 4 * MOST_UNANSWERED, "what is unread waits at the sender"
    assert await points.balance(member) <= 1 + 5 * (written + 1)
    # It goes on as soon as responses are read.
    answered = 0
    while answered < 2 * before:
        answer = await call.read()
        assert answer.first_position == answered + 1
        answered += len(answer.results)
    assert written > before
    call.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    await channel.close()
    await points.assert_balanced()


@pytest.mark.covers("P2 PurchaseService.StreamPurchases")
@pytest.mark.parametrize("at_once", [1, 300])
async def test_no_more_than_so_many_are_at_work(at_once: int) -> None:
    read, at_work, answered = count(at_once, at_once), [0], [0]
    most = 0

    async def endless() -> AsyncIterator[Request]:
        nonlocal most
        for number in read:
            most = max(most, number - answered[0])
            if number > 6_000:
                return
            yield Request(purchases=[Receipt()] * at_once)
            await asyncio.sleep(0)

    async def record(receipts: Sequence[Any]) -> list[status_pb2.Status]:
        at_work[0] += 1
        assert len(receipts) < MOST_UNANSWERED + at_once
        for _ in range(1_000):  # while others are read, as many on a slow machine as on a fast one
            await asyncio.sleep(0)
        return [status_pb2.Status(code=1) for _ in receipts]

    async for answer in PurchaseStream(endless(), record).responses():
        assert answer.first_position == answered[0] + 1
        answered[0] += len(answer.results)
    assert answered == [6_000]
    assert most <= MOST_UNANSWERED + 2 * at_once
    assert at_work[0] < 60, "those that are there share statements"


async def test_while_answers_are_sent_a_few_wait_for_more_and_a_thousand_do_not() -> None:
    arriving: asyncio.Queue[int] = asyncio.Queue()
    together: list[int] = []

    async def requests() -> AsyncIterator[Request]:
        while count := await arriving.get():
            yield Request(purchases=[Receipt()] * count)

    async def record(receipts: Sequence[Any]) -> list[status_pb2.Status]:
        together.append(len(receipts))
        return [status_pb2.Status(code=1) for _ in receipts]

    stream = PurchaseStream(requests(), record).responses()
    arriving.put_nowait(100)
    await anext(stream)  # and the stream does not go on until the next is asked for
    for arrived, recorded in ((10, [100]), (990, [100, 1_000])):
        arriving.put_nowait(arrived)
        await asyncio.sleep(0.05)
        assert together == recorded
    assert len((await anext(stream)).results) == 100
    arriving.put_nowait(7)
    arriving.put_nowait(0)
    assert sum([len(answer.results) async for answer in stream]) == 900 + 7
    assert together == [100, 1_000, 7]


async def test_large_receipts_count_by_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purchase_streams, "_MOST_BYTES", 10_000)
    read = 0
    go_on = asyncio.Event()

    async def large() -> AsyncIterator[Request]:
        nonlocal read
        for _ in range(50):
            read += 1
            yield Request(purchases=[Receipt(receipt_number="9" * 500)] * 2)

    async def record(receipts: Sequence[Any]) -> list[status_pb2.Status]:
        await go_on.wait()
        return [status_pb2.Status(code=1) for _ in receipts]

    stream = asyncio.create_task(results_of(PurchaseStream(large(), record).responses()))
    await asyncio.sleep(0.05)
    assert read <= 10
    go_on.set()
    assert len(await stream) == 100


@pytest.mark.covers("P2 PurchaseService.StreamPurchases")
async def test_a_token_that_expires_ends_the_stream_after_the_answers_due(
    points: Points, platform: Platform
) -> None:
    member = await platform.member()
    token = await platform.till(seconds=2)
    call, results = open_stream(points, token=token), list[Result]()
    written = 0

    async def write() -> None:
        nonlocal written
        while not call.done():
            await call.write(Request(purchases=[receipt(member.code, item(1_000))]))
            written += 1
            await asyncio.sleep(0.02)

    writing = asyncio.create_task(write())
    async with asyncio.timeout(15):
        assert await ended(call, results) == "TOKEN_EXPIRED"
    await asyncio.gather(writing, return_exceptions=True)
    assert len(results) > 10, "it went on until then"
    assert await points.balance(member) == len(results), "what was recorded was answered"


@pytest.mark.covers("P2 PurchaseService.StreamPurchases")
@pytest.mark.parametrize("count", [0, 1_001])
async def test_a_message_with_no_receipts_or_too_many_ends_the_stream_after_the_answers_due(
    points: Points, platform: Platform, count: int
) -> None:
    member, results = await platform.member(), list[Result]()

    async def messages() -> AsyncIterator[Request]:
        yield Request(purchases=[receipt(member.code, item(1_000))])
        yield Request(purchases=[receipt(member.code)] * count)
        yield Request(purchases=[receipt(member.code, item(1_000))])

    assert await ended(open_stream(points, messages()), results) == "VALIDATION_FAILED"
    assert [reason_of(result) for result in results] == ["recorded"]
    assert await points.balance(member) == 1


async def test_without_a_good_token_nothing_begins(points: Points, platform: Platform) -> None:
    member = await platform.member()
    for token, expected in (("nonsense", "TOKEN_NOT_VALID"), (member.token, "ROLE_NOT_ALLOWED")):
        call, results = open_stream(points, sent([receipt(member.code)]), token=token), list[Result]()
        assert await ended(call, results) == expected
        assert results == []


@pytest.mark.covers("P2 PurchaseService.StreamPurchases")
async def test_a_stop_ends_streams_with_the_answers_due(
    points: Points, platform: Platform, in_process: InProcess
) -> None:
    member = await platform.member()
    await points.earn(member, 1)
    call = open_stream(points)
    for _ in range(300):
        await call.write(Request(purchases=[receipt(member.code, item(1_000))]))
    results = list((await call.read()).results)
    reading = asyncio.create_task(ended(call, results))
    began = asyncio.get_running_loop().time()
    await platform.stop("points")
    try:
        async with asyncio.timeout(5):
            assert await reading == "DEPENDENCY_UNAVAILABLE"
        assert asyncio.get_running_loop().time() - began < 1.0, "nobody waited for the end of the drain time"
    finally:
        await in_process.start_service("points")
        await points.channel.channel_ready()
    ((recorded,),) = await points.rows(
        "SELECT count(*) - 1 FROM purchases WHERE member_id = %(id)s", id=member.id
    )
    assert recorded == len(results), "what was recorded was answered"
    await points.assert_balanced()


async def test_one_client_can_not_take_all_streams(points: Points, platform: Platform) -> None:
    member, other = await platform.member(), await platform.till()
    await points.earn(member, 1)

    async def works(call: Any) -> bool:
        await call.write(Request(purchases=[receipt(member.code)]))
        return await call.read() is not grpc.aio.EOF

    own = [open_stream(points) for _ in range(16)]
    assert all([await works(call) for call in own])
    assert await ended(open_stream(points, sent([receipt(member.code)])), []) == "OVERLOADED"
    foreign = open_stream(points, token=other)
    assert await works(foreign)
    await own.pop().done_writing()

    async def again() -> None:
        assert await ended(open_stream(points, sent([receipt(member.code)])), []) == ""

    await eventually(again)
    for call in (*own, foreign):
        call.cancel()


@pytest.mark.covers("P2 PurchaseService.StreamPurchases")
async def test_a_client_that_goes_away_harms_nobody(points: Points, platform: Platform) -> None:
    member = await platform.member()
    await points.earn(member, 1)
    receipts = [receipt(member.code, item(1_000)) for _ in range(200)]
    for cut in (1, 50, 150):
        call = open_stream(points)
        for one in receipts[:cut]:
            await call.write(Request(purchases=[one]))
        call.cancel()
    results = await results_of(open_stream(points, sent(receipts)))
    assert [reason_of(result) for result in results] == ["recorded"] * 200
    assert await points.balance(member) == 201
    await points.assert_balanced()


async def test_streams_at_once_share_the_service_and_count_once(points: Points, platform: Platform) -> None:
    members = [await platform.member() for _ in range(4)]
    receipts = [receipt(members[n % 4].code, item(1_000)) for n in range(600)]

    async def all_of(some: Sequence[Receipt], at_once: int = 1) -> list[Result]:
        return await results_of(open_stream(points, sent(some, at_once)))

    forwards, backwards, third = await asyncio.gather(
        all_of(receipts), all_of(receipts[::-1], 50), all_of(receipts[200:])
    )
    assert forwards == backwards[::-1]
    assert forwards[200:] == third
    assert sum([await points.balance(member) for member in members]) == 600
    await points.assert_balanced()
