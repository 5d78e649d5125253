"""Streams: answers in order, a bounded number of receipts at work, and an end that loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import count
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from scrip.points.v1 import purchase_pb2, purchase_pb2_grpc

from services.common.auth import TILL
from services.common.ids import new_id
from services.points.handlers import purchase_streams
from services.points.handlers.purchase_streams import MOST_UNANSWERED, PurchaseStream
from services.points.tests.support import Points, item, receipt
from services.points.tests.test_batches import batch, reason_of
from tests.inprocess import InProcess, Platform, bearer

Request = purchase_pb2.StreamPurchasesRequest
Receipt = purchase_pb2.RecordPurchaseRequest
Answer = purchase_pb2.StreamPurchasesResponse


def open_stream(
    points: Points, requests: Any = None, token: str = "", channel: grpc.aio.Channel | None = None
) -> Any:
    """A stream, as the till; without requests it is written to and read from."""
    stub = purchase_pb2_grpc.PurchaseServiceStub(channel or points.channel)
    return stub.StreamPurchases(requests, metadata=bearer(token or points.till))


async def sent(receipts: Iterable[purchase_pb2.RecordPurchaseRequest]) -> AsyncIterator[Request]:
    """A stream's requests."""
    for one in receipts:
        yield Request(purchase=one)


async def ended(call: Any, answers: list[Answer]) -> str:
    """Reads all answers; the reason with which the stream ended, or an empty text."""
    try:
        while (answer := await call.read()) is not grpc.aio.EOF:
            answers.append(answer)
    except grpc.aio.AioRpcError as error:
        refused = error
    else:
        return ""
    status = rpc_status.from_call(refused)  # type: ignore[arg-type]  # it has what a Call has
    info = error_details_pb2.ErrorInfo()
    assert status, refused
    assert status.details[0].Unpack(info)
    return info.reason


async def test_each_receipt_is_answered_in_order(points: Points, platform: Platform) -> None:
    members = [await platform.member() for _ in range(5)]
    receipts = [receipt(members[n % 5].code, item(1_000)) for n in range(2_500)]
    receipts[10] = receipt(members[0].code, item(-1))
    receipts[20] = receipt("NOBODY")
    receipts[30] = receipts[3]
    answers = [answer async for answer in open_stream(points, sent(receipts))]
    assert [answer.position for answer in answers] == list(range(1, 2_501))
    reasons = [reason_of(answer.result) for answer in answers]
    assert (reasons[10], reasons[20]) == ("VALIDATION_FAILED", "MEMBER_CODE_UNKNOWN")
    assert reasons.count("recorded") == 2_498
    assert [answer.result.recorded.purchase.receipt_number for answer in answers[40:]] == [
        one.receipt_number for one in receipts[40:]
    ]
    assert answers[30].result == answers[3].result
    assert sum([await points.balance(member) for member in members]) == 2_497
    assert await batch(points, receipts[40:140]) == [answer.result for answer in answers[40:140]]
    await points.assert_balanced()


async def test_a_lone_receipt_is_answered_while_the_stream_stays_open(
    points: Points, platform: Platform
) -> None:
    member, call = await platform.member(), open_stream(points)
    for position in (1, 2, 3):
        await call.write(Request(purchase=receipt(member.code, item(1_000))))
        async with asyncio.timeout(5):
            answer = await call.read()
        assert (answer.position, answer.result.recorded.balance_after) == (position, position)
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF


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
            await call.write(Request(purchase=receipt(member.code, *[item(1_000)] * 5)))
            written += 1

    writing = asyncio.create_task(write_without_end())
    before = -1
    while written > before:  # until it stands still
        before = written
        await asyncio.sleep(1.0)
    assert 0 < written < 4 * MOST_UNANSWERED, "what is unread waits at the sender"
    assert await points.balance(member) <= 1 + 5 * (written + 1)
    # It goes on as soon as answers are read.
    for position in range(1, 2 * before):
        assert (await call.read()).position == position
    assert written > before
    call.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    await channel.close()
    await points.assert_balanced()


async def test_no_more_than_so_many_are_at_work() -> None:
    read, at_work, answered = count(1), [0], [0]
    most = 0

    async def endless() -> AsyncIterator[Request]:
        nonlocal most
        for number in read:
            most = max(most, number - answered[0])
            if number > 5_000:
                return
            yield Request(purchase=Receipt(receipt_number=str(number)))
            await asyncio.sleep(0)

    async def record(receipts: Sequence[Any]) -> list[status_pb2.Status]:
        at_work[0] += 1
        assert len(receipts) <= MOST_UNANSWERED
        await asyncio.sleep(0.01)
        return [status_pb2.Status(code=1) for _ in receipts]

    async for answer in PurchaseStream(endless(), record).answers():
        assert answer.position == answered[0] + 1
        answered[0] += 1
    assert answered == [5_000]
    assert most <= MOST_UNANSWERED + 1
    assert at_work[0] < 60, "those that are there share statements"


async def test_large_receipts_count_by_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purchase_streams, "_MOST_BYTES", 10_000)
    read = 0
    go_on = asyncio.Event()

    async def large() -> AsyncIterator[Request]:
        nonlocal read
        for _ in range(50):
            read += 1
            yield Request(purchase=Receipt(receipt_number="9" * 1_000))

    async def record(receipts: Sequence[Any]) -> list[status_pb2.Status]:
        await go_on.wait()
        return [status_pb2.Status(code=1) for _ in receipts]

    stream = PurchaseStream(large(), record).answers()
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0.05)
    assert read <= 10
    go_on.set()
    await first
    assert len([answer async for answer in stream]) == 49


async def test_a_token_that_expires_ends_the_stream_after_the_answers_due(
    points: Points, platform: Platform
) -> None:
    member = await platform.member()
    token = (await platform.issuer()).issue(new_id(), TILL, 2).value
    call, answers = open_stream(points, token=token), list[Answer]()
    written = 0

    async def write() -> None:
        nonlocal written
        while not call.done():
            await call.write(Request(purchase=receipt(member.code, item(1_000))))
            written += 1
            await asyncio.sleep(0.02)

    writing = asyncio.create_task(write())
    async with asyncio.timeout(15):
        assert await ended(call, answers) == "TOKEN_EXPIRED"
    await asyncio.gather(writing, return_exceptions=True)
    assert [answer.position for answer in answers] == list(range(1, len(answers) + 1))
    assert len(answers) > 10
    assert await points.balance(member) == len(answers), "what was recorded was answered"


async def test_without_a_good_token_nothing_begins(points: Points, platform: Platform) -> None:
    member = await platform.member()
    for token, expected in (("nonsense", "TOKEN_NOT_VALID"), (member.token, "ROLE_NOT_ALLOWED")):
        call, answers = open_stream(points, sent([receipt(member.code)]), token=token), list[Answer]()
        assert await ended(call, answers) == expected
        assert answers == []


async def test_a_stop_ends_streams_with_the_answers_due(
    points: Points, platform: Platform, in_process: InProcess
) -> None:
    member = await platform.member()
    await points.earn(member, 1)
    call, answers = open_stream(points), list[Answer]()
    for _ in range(300):
        await call.write(Request(purchase=receipt(member.code, item(1_000))))
    first = await call.read()
    reading = asyncio.create_task(ended(call, answers))
    began = asyncio.get_running_loop().time()
    await platform.stop("points")
    try:
        async with asyncio.timeout(5):
            assert await reading == "DEPENDENCY_UNAVAILABLE"
        assert asyncio.get_running_loop().time() - began < 1.0, "nobody waited for the end of the drain time"
    finally:
        await in_process.start_service("points")
        await points.channel.channel_ready()
    assert [answer.position for answer in (first, *answers)] == list(range(1, len(answers) + 2))
    ((recorded,),) = await points.rows(
        "SELECT count(*) - 1 FROM purchases WHERE member_id = :id", id=member.id
    )
    assert recorded == len(answers) + 1, "what was recorded was answered"
    await points.assert_balanced()


async def test_a_client_that_goes_away_harms_nobody(points: Points, platform: Platform) -> None:
    member = await platform.member()
    await points.earn(member, 1)
    receipts = [receipt(member.code, item(1_000)) for _ in range(200)]
    for cut in (1, 50, 150):
        call = open_stream(points)
        for one in receipts[:cut]:
            await call.write(Request(purchase=one))
        call.cancel()
    answers = [answer async for answer in open_stream(points, sent(receipts))]
    assert [reason_of(answer.result) for answer in answers] == ["recorded"] * 200
    assert await points.balance(member) == 201
    await points.assert_balanced()


async def test_streams_at_once_share_the_service_and_count_once(points: Points, platform: Platform) -> None:
    members = [await platform.member() for _ in range(4)]
    receipts = [receipt(members[n % 4].code, item(1_000)) for n in range(600)]

    async def all_of(some: Sequence[purchase_pb2.RecordPurchaseRequest]) -> list[Any]:
        return [answer.result async for answer in open_stream(points, sent(some))]

    forwards, backwards, third = await asyncio.gather(
        all_of(receipts), all_of(receipts[::-1]), all_of(receipts[200:])
    )
    assert forwards == backwards[::-1]
    assert forwards[200:] == third
    assert sum([await points.balance(member) for member in members]) == 600
    await points.assert_balanced()
