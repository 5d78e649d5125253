"""Batches: each receipt has its own result, as of the single call, and counts once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import UUID, uuid4

import grpc
import pytest
from google.protobuf import timestamp_pb2
from google.rpc import error_details_pb2, status_pb2
from scrip.points.v1 import purchase_pb2, purchase_pb2_grpc
from stdnum.iso7064 import mod_37_36

from services.common.cache import Redis
from services.common.db import Connection, Database
from services.common.ids import utc_now
from services.points.balances import Balances
from services.points.balances.leased_cache import LeasedCache
from services.points.programme import Programme
from services.points.purchases import batch_handlers as purchase_batches
from services.points.purchases.member_codes import ResolvedCode
from services.points.purchases.purchase import Purchase
from services.points.purchases.recorder import PurchaseRecorder
from services.points.purchases.tests.test_purchases_at_once import new_purchase
from services.points.tests.support import Points, item, receipt, sold
from tests.inprocess import InProcess, Platform, bearer, eventually, reason, refused_status

Request = purchase_pb2.RecordPurchaseRequest
P = ParamSpec("P")
T = TypeVar("T")
HUGE = 10**10


async def batch(points: Points, receipts: Sequence[Request], **options: Any) -> list[Any]:
    """Returns the results of a batch, as the till."""
    stub = purchase_pb2_grpc.PurchaseServiceStub(points.channel)
    request = purchase_pb2.BatchRecordPurchasesRequest(purchases=receipts)
    reply = await stub.BatchRecordPurchases(request, metadata=bearer(points.till), **options)
    return list(reply.results)


def reason_of(result: purchase_pb2.PurchaseResult) -> str:
    """Returns the reason of a refused receipt, or `recorded`."""
    if result.HasField("recorded"):
        return "recorded"
    info = error_details_pb2.ErrorInfo()
    assert result.refused.details[0].Unpack(info)
    return info.reason


def without_dates(status: status_pb2.Status) -> str:
    """Returns a status as text; of one that names the moment it was made, only its code."""
    return str(status.code) if b"sold_at must lie" in status.SerializeToString() else str(status)


@pytest.mark.covers("P2 PurchaseService.BatchRecordPurchases")
async def test_a_thousand_receipts_are_answered_in_their_order(points: Points, platform: Platform) -> None:
    members = [await platform.member() for _ in range(10)]
    receipts = [receipt(members[n % 10].code, item(1_000 * (1 + n % 7))) for n in range(1_000)]
    results = await batch(points, receipts)
    assert [result.recorded.purchase.receipt_number for result in results] == [
        one.receipt_number for one in receipts
    ]
    assert [result.recorded.purchase.points for result in results] == [1 + n % 7 for n in range(1_000)]
    for at, member in enumerate(members):
        own = results[at::10]
        assert await points.balance(member) == sum(result.recorded.purchase.points for result in own)
        assert own[-1].recorded.balance_after == await points.balance(member)
    again = await batch(points, receipts)
    assert again == results
    await points.assert_balanced()


@pytest.mark.covers("P2 PurchaseService.BatchRecordPurchases")
@pytest.mark.parametrize("count", [0, 1_001])
async def test_too_few_or_too_many_receipts_are_refused_as_a_whole(points: Points, count: int) -> None:
    assert await reason(batch(points, [receipt("")] * count)) == "VALIDATION_FAILED"


@pytest.mark.covers("P2 PurchaseService.BatchRecordPurchases")
async def test_bad_receipts_are_refused_as_single_ones_and_spare_their_neighbours(
    points: Points, platform: Platform
) -> None:
    member, stranger = await platform.member(), str(uuid4()).replace("-", "")[:12].upper()
    first = await points.record(receipt(member.code, item(5_000)))
    conflict = receipt(member.code, item(6_000), receipt_number=first.purchase.receipt_number)
    bad = [
        receipt(member.code, item(-1)),
        receipt(member.code, item(1, 0)),
        receipt(member.code, item(), item(HUGE + 1)),
        receipt(member.code, *[item()] * 501),
        receipt(member.code, receipt_number=""),
        receipt(member.code, currency_code="usd"),
        receipt(member.code, currency_code="EUR"),
        receipt(member.code, sold_at=None),
        receipt(member.code, sold_at=timestamp_pb2.Timestamp(seconds=-(10**12))),
        receipt(member.code, sold_at=sold(utc_now() + timedelta(hours=1))),
        receipt(member.code, sold_at=sold(utc_now() - timedelta(days=31))),
        receipt(member.code, total_minor=7),
        receipt(member.code, *[item(HUGE, 100_000)] * 3),
        receipt(member.code, purchase_pb2.PurchaseItem(sku="1\0", name="a", quantity=1)),
        receipt(stranger),
        receipt("not a code!"),
        conflict,
        Request(),
    ]
    mixed = [one for each in bad for one in (each, receipt(member.code, item(1_000)))]
    results = await batch(points, mixed)
    assert [reason_of(result) for result in results[1::2]] == ["recorded"] * len(bad)
    for request, result in zip(bad, results[::2], strict=True):
        status, _ = await refused_status(points.record(request))
        assert without_dates(result.refused) == without_dates(status), request
    assert {reason_of(result) for result in results[::2]} >= {
        "VALIDATION_FAILED",
        "CURRENCY_NOT_SUPPORTED",
        "SALE_TIME_OUT_OF_RANGE",
        "TOTAL_MISMATCH",
        "RECEIPT_TOO_LARGE",
        "MEMBER_CODE_UNKNOWN",
        "RECEIPT_CONFLICT",
    }
    assert await points.balance(member) == 5 + len(bad)
    await points.assert_balanced()


async def test_fields_are_named_as_in_a_single_call(points: Points) -> None:
    (result,) = await batch(points, [receipt("", item(), item(1, 0))])
    named = error_details_pb2.BadRequest()
    assert result.refused.details[1].Unpack(named)
    assert [violation.field for violation in named.field_violations] == ["items[1].quantity"]


async def test_a_receipt_twice_in_a_batch_counts_once(points: Points, platform: Platform) -> None:
    member = await platform.member()
    one = receipt(member.code, item(3_000))
    other = receipt(member.code, item(4_000), receipt_number=one.receipt_number)
    results = await batch(points, [one, other, one, receipt(member.code), one])
    assert [reason_of(result) for result in results] == [
        "recorded",
        "RECEIPT_CONFLICT",
        "recorded",
        "recorded",
        "recorded",
    ]
    assert results[0] == results[2] == results[4]
    assert await points.balance(member) == 4
    await points.assert_balanced()


@pytest.mark.covers("P2 PurchaseService.BatchRecordPurchases")
async def test_overlapping_batches_and_single_calls_count_each_receipt_once(
    points: Points, platform: Platform
) -> None:
    members = [await platform.member() for _ in range(7)]
    receipts = [receipt(members[n % 7].code, item(1_000)) for n in range(300)]
    lots = random.Random(4)

    async def shuffled() -> dict[str, bytes]:
        some = lots.sample(receipts, 240)
        results = await batch(points, some)
        return {
            one.receipt_number: result.recorded.SerializeToString(deterministic=True)
            for one, result in zip(some, results, strict=True)
        }

    async def single(one: Request) -> dict[str, bytes]:
        return {one.receipt_number: (await points.record(one)).SerializeToString(deterministic=True)}

    calls = [shuffled() for _ in range(6)] + [single(one) for one in lots.sample(receipts, 100)]
    told: dict[str, set[bytes]] = {}
    for answers in [*await asyncio.gather(*calls), await shuffled()]:
        for number, answer in answers.items():
            told.setdefault(number, set()).add(answer)
    assert len(told) == 300
    assert all(len(answers) == 1 for answers in told.values()), "a receipt got two answers"
    balances = [await points.balance(member) for member in members]
    assert balances == [len(receipts[at::7]) for at in range(7)]
    await points.assert_balanced()


@pytest.mark.covers("P2 PurchaseService.BatchRecordPurchases")
async def test_one_that_would_overflow_a_balance_fails_alone(points: Points, platform: Platform) -> None:
    rich, other = await platform.member(), await platform.member()
    for _ in range(21):
        await points.record(receipt(rich.code, item(HUGE, 10)))
    receipts = [receipt(other.code, item(1_000)) for _ in range(64)]
    receipts[37:37] = [receipt(rich.code, item(HUGE, 10))]
    results = await batch(points, receipts)
    assert [at for at, one in enumerate(results) if reason_of(one) != "recorded"] == [37]
    assert reason_of(results[37]) == "BALANCE_LIMIT_REACHED"
    assert await points.balance(other) == 64
    await points.assert_balanced()


async def test_a_signed_code_is_good_for_one_receipt_of_a_batch(points: Points, platform: Platform) -> None:
    member = await platform.member()
    code = platform.signed_code(member)
    now = sold(utc_now())
    receipts = [receipt(code, item(2_000), sold_at=now), receipt(code, item(3_000), sold_at=now)]
    results = await batch(points, receipts)
    assert sorted(reason_of(result) for result in results) == ["MEMBER_CODE_REPLAYED", "recorded"]
    assert await batch(points, receipts) == results
    assert await points.balance(member) in (2, 3)
    await points.assert_balanced()


async def test_receipts_without_a_member_can_be_among_them(points: Points, platform: Platform) -> None:
    member = await platform.member()
    results = await batch(points, [receipt(""), receipt(member.code), receipt("")])
    claims = [result.recorded.claim.claim_code for result in results]
    assert [len(code) for code in claims] == [12, 0, 12]
    assert claims[0] != claims[2]


async def test_many_lines_are_taken_in_several_statements(
    points: Points, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purchase_batches, "_MOST_ITEMS", 100)
    member = await platform.member()
    receipts = [receipt(member.code, *[item(100)] * lines) for lines in (60, 60, 1, 99, 1, 500, 3)]
    results = await batch(points, [*receipts, receipts[0]])
    assert [result.recorded.purchase.total.amount_minor for result in results] == [
        100 * len(one.items) for one in [*receipts, receipts[0]]
    ]
    kept = await points.lines(results[5].recorded.purchase.id)
    assert [line[0] for line in kept] == list(range(1, 501))
    await points.assert_balanced()


async def test_without_identity_only_unknown_codes_are_refused(
    points: Points, platform: Platform, in_process: InProcess
) -> None:
    known, new = await platform.member(), await platform.member()
    await points.earn(known, 1)
    await platform.stop("identity")
    try:
        receipts = [receipt(code) for code in (known.code, new.code, known.code, new.code)]
        results = await batch(points, receipts)
    finally:
        await in_process.start_service("identity")
    assert [reason_of(result) for result in results] == ["recorded", "DEPENDENCY_UNAVAILABLE"] * 2
    assert len(results[1].refused.details) == 2, "it says when to try again"

    async def recorded() -> None:
        assert {reason_of(result) for result in await batch(points, receipts)} == {"recorded"}

    await eventually(recorded, seconds=10)


async def test_batches_of_new_codes_at_once_are_answered_receipt_by_receipt(points: Points) -> None:
    batches = [[receipt(_lasting_code(n % 1_000)) for n in range(1_000)] for _ in range(4)]
    done = await asyncio.gather(*(batch(points, receipts) for receipts in batches))
    assert [{reason_of(result) for result in results} for results in done] == [{"MEMBER_CODE_UNKNOWN"}] * 4


async def test_whoever_waits_in_vain_is_told_to_come_back(points: Points, platform: Platform) -> None:
    """Four large batches take all the room while the account is held, and small ones come behind."""
    member = await platform.member()
    await points.earn(member, 1)
    held, release = asyncio.Event(), asyncio.Event()

    async def hold(connection: Connection) -> None:
        statement = "SELECT FROM accounts WHERE member_id = %(id)s FOR UPDATE"
        await connection.execute(statement, {"id": member.id})
        held.set()
        await release.wait()

    holding = asyncio.create_task(points.database.run(hold))
    await held.wait()
    large = [[receipt(member.code) for _ in range(1_000)] for _ in range(4)]
    requests = [*large, *([receipt(member.code)] for _ in range(26))]
    calls = [asyncio.ensure_future(batch(points, request)) for request in requests]
    await asyncio.wait(calls, timeout=4, return_when=asyncio.FIRST_COMPLETED)
    release.set()
    await holding
    done = await asyncio.gather(*calls, return_exceptions=True)
    refused = [one for one in done if isinstance(one, grpc.aio.AioRpcError)]
    assert 1 <= len(refused) < 30
    assert {error.code() for error in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    recorded = sum(len(one) for one in done if isinstance(one, list))
    assert await points.balance(member) == 1 + recorded
    await points.assert_balanced()


class CountingDatabase(Database):
    """Remembers which commands it ran."""

    ran: list[str]

    async def run(
        self,
        command: Callable[Concatenate[Connection, P], Awaitable[T]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Runs a command in a transaction."""
        self.ran.append(command.__name__)
        return await super().run(command, *args, **kwargs)

    async def read(
        self, query: Callable[Concatenate[Connection, P], Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Runs a command of which each statement is whole in itself."""
        self.ran.append(query.__name__)
        return await super().read(query, *args, **kwargs)


async def test_a_thousand_new_members_take_one_question_and_three_commands(platform: Platform) -> None:
    database = CountingDatabase(platform.postgres.url("points"), pool_size=4)
    database.ran = []
    redis = Redis(platform.redis_url, seconds=1)
    asked: list[Sequence[str]] = []

    async def resolve(codes: Sequence[str]) -> Mapping[str, ResolvedCode]:
        asked.append(codes)
        return {code: ResolvedCode(members[code], None) for code in codes}

    codes = [_lasting_code(n) for n in range(1_000)]
    members: dict[str, UUID] = {code: uuid4() for code in codes}
    recorder = PurchaseRecorder(
        database,
        Balances(database, LeasedCache(redis, "balance:")),
        resolve,
        platform_programme(platform),
        offline=timedelta(),
    )
    outcomes = await recorder.record_all([new_purchase(code) for code in codes])
    assert all(isinstance(outcome, Purchase) for outcome in outcomes)
    assert [len(question) for question in asked] == [1_000]
    assert database.ran == ["record_purchases", "keep_member_codes", "record_purchases"]
    await redis.close()
    await database.close()


def platform_programme(platform: Platform) -> Programme:
    """Returns the programme as the service under test has it."""
    settings = platform.settings["points"]
    return Programme(
        settings.currency,
        settings.time_zone,
        settings.expire_months,
        settings.claim_days,
        settings.refund_policy,
        settings.balance_floor,
    )


def _lasting_code(number: int) -> str:
    """Returns a lasting member code as identity makes them."""
    body = f"{uuid4().hex[:8].upper()}{number:03d}"
    return body + mod_37_36.calc_check_digit(body)
