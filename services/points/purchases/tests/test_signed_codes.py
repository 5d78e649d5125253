"""Signed member codes at the till: one receipt, sold within their minute. And typos of lasting codes."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from scrip.points.v1 import purchase_pb2

from services.common.codes import read_code
from services.common.errors import DomainError
from services.common.ids import new_id, utc_now
from services.points.members.member_codes import keep_member_codes
from services.points.purchases.commands import record_purchases
from services.points.purchases.member_codes import SignedCode
from services.points.purchases.purchase import NewPurchase, Recorded
from services.points.purchases.tests.test_purchases_at_once import new_purchase, reasons
from services.points.tests.support import Points, item, receipt, sold
from tests.inprocess import InProcess, Member, Platform, eventually, reason, refusal

DAY = timedelta(days=1)
Refusal = tuple[str, grpc.StatusCode, dict[str, str]]
EXPIRED: Refusal = ("MEMBER_CODE_EXPIRED", grpc.StatusCode.FAILED_PRECONDITION, {})
REPLAYED: Refusal = ("MEMBER_CODE_REPLAYED", grpc.StatusCode.FAILED_PRECONDITION, {})


def now() -> datetime:
    """Returns the present, in whole seconds, as codes are made."""
    return datetime.now(UTC).replace(microsecond=0)


def signed_receipt(
    platform: Platform, member: Member, issued: datetime | None = None, **fields: Any
) -> purchase_pb2.RecordPurchaseRequest:
    """Returns a receipt with a signed code of the member, sold when the code was made."""
    issued = issued or now()
    return receipt(platform.signed_code(member, issued), sold_at=sold(issued), **fields)


def signed_code(member_id: UUID | None = None) -> SignedCode:
    """Returns a signed code as identity resolves it."""
    return SignedCode(new_id().hex, member_id or uuid4(), utc_now(), utc_now() + timedelta(seconds=60))


def signed_purchase(code: SignedCode, **changes: object) -> NewPurchase:
    """Returns a purchase with a code that identity knew, which earns 3 points."""
    return new_purchase("S1" + code.id, signed_code=code, **changes)


async def used_by(points: Points, code: SignedCode) -> list[tuple[Any, ...]]:
    """Returns the purchases that the code is bound to."""
    return await points.rows("SELECT purchase_id FROM used_codes WHERE code_id = %(id)s", id=code.id)


async def until_recorded(
    points: Points, request: purchase_pb2.RecordPurchaseRequest
) -> purchase_pb2.RecordPurchaseResponse:
    """Returns the response, once points has found identity again."""

    async def record() -> purchase_pb2.RecordPurchaseResponse:
        try:
            return await points.record(request)
        except grpc.aio.AioRpcError as error:
            raise AssertionError from error

    return await eventually(record)


async def test_a_signed_code_earns_like_a_lasting_one(points: Points, platform: Platform) -> None:
    member = await platform.member()
    request = signed_receipt(platform, member, till_number="T-7")
    reply = await points.record(request)
    assert (reply.purchase.points, reply.balance_after) == (1, 1)
    assert await points.balance(member) == 1
    assert await points.rows(
        "SELECT till_number, receipt_number, purchase_id::text FROM used_codes WHERE code_id = %(id)s",
        id=request.member_code[2:41],
    ) == [("T-7", request.receipt_number, reply.purchase.id)]


async def test_a_signed_code_is_never_kept(points: Points, platform: Platform) -> None:
    member = await platform.member()
    request = signed_receipt(platform, member)
    await points.record(request)
    kept = await points.rows(
        "SELECT member_code FROM member_codes WHERE member_id = %(id)s OR member_code = %(code)s",
        id=member.id,
        code=request.member_code,
    )
    assert kept == []


@pytest.mark.covers("I5 PurchaseService.RecordPurchase")
async def test_the_same_receipt_and_code_get_the_same_answer_again_and_again(
    points: Points, platform: Platform
) -> None:
    member = await platform.member()
    request = signed_receipt(platform, member)
    first = (await points.record(request)).SerializeToString(deterministic=True)
    await points.earn(member, 5)
    for _ in range(2):
        assert (await points.record(request)).SerializeToString(deterministic=True) == first
    assert await points.balance(member) == 6


@pytest.mark.covers("I5 PurchaseService.RecordPurchase")
async def test_another_receipt_with_the_code_is_refused_as_replayed(
    points: Points, platform: Platform
) -> None:
    member = await platform.member()
    request = signed_receipt(platform, member)
    await points.record(request)
    number = request.receipt_number
    request.receipt_number = f"{number}-other"
    assert await refusal(points.record(request)) == REPLAYED
    request.receipt_number, request.till_number = number, "another till"
    assert await refusal(points.record(request)) == REPLAYED
    request.till_number = ""
    assert await refusal(points.record(request, token=await platform.till())) == REPLAYED
    assert await points.balance(member) == 1
    await points.assert_balanced()


async def test_the_same_receipt_with_other_content_is_a_conflict_and_not_a_replay(
    points: Points, platform: Platform
) -> None:
    member = await platform.member()
    request = signed_receipt(platform, member)
    await points.record(request)
    request.items[0].unit_price_minor += 1
    assert await reason(points.record(request)) == "RECEIPT_CONFLICT"
    request.member_code = platform.signed_code(member)
    assert await reason(points.record(request)) == "RECEIPT_CONFLICT"


async def test_a_code_refused_on_a_receipt_that_is_taken_can_be_used_on_another(
    points: Points, platform: Platform
) -> None:
    member = await platform.member()
    taken = receipt(member.code)
    await points.record(taken)
    request = signed_receipt(platform, member, receipt_number=taken.receipt_number)
    assert await reason(points.record(request)) == "RECEIPT_CONFLICT"
    request.receipt_number += "-right"
    assert (await points.record(request)).balance_after == 2


@pytest.mark.covers("I5 PurchaseService.RecordPurchase")
@pytest.mark.parametrize(
    ("sold_after", "refused"),
    [
        (timedelta(0), False),
        (timedelta(seconds=60), False),
        (timedelta(minutes=3), False),
        (timedelta(minutes=3, seconds=1), True),
        (timedelta(minutes=10), True),
        (timedelta(minutes=-2), False),
        (timedelta(minutes=-2, seconds=-1), True),
        (timedelta(hours=-3), True),
    ],
)
async def test_a_codes_age_is_judged_at_the_time_of_the_sale(
    points: Points, platform: Platform, sold_after: timedelta, refused: bool
) -> None:
    member, issued = await platform.member(), now() - timedelta(hours=1)
    request = signed_receipt(platform, member, issued)
    request.sold_at.CopyFrom(sold(issued + sold_after))
    if refused:
        assert await refusal(points.record(request)) == EXPIRED
    else:
        await points.record(request)
    assert await points.balance(member) == (0 if refused else 1)


@pytest.mark.covers("I5 PurchaseService.RecordPurchase")
async def test_a_till_that_was_offline_may_report_for_a_day(points: Points, platform: Platform) -> None:
    member = await platform.member()
    in_time = signed_receipt(platform, member, now() - DAY - timedelta(seconds=50))
    first = await points.record(in_time)
    too_late = signed_receipt(platform, member, now() - DAY - timedelta(seconds=61))
    assert await refusal(points.record(too_late)) == EXPIRED
    assert await points.record(in_time) == first
    assert await points.balance(member) == 1


def test_how_long_a_till_may_be_offline_is_a_setting() -> None:
    code = signed_code()
    reported = code.expires_at + timedelta(hours=2)
    for hours, refused in ((1, True), (2, False), (3, False)):
        answer = code.refusal(sold_at=code.issued_at, now=reported, offline=timedelta(hours=hours))
        assert (answer is not None) == refused


@pytest.mark.covers("I5 PurchaseService.RecordPurchase")
async def test_an_answer_outlives_the_code_and_needs_no_identity(
    points: Points, platform: Platform, in_process: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = await platform.member()
    request = signed_receipt(platform, member)
    first = await points.record(request)
    other = signed_receipt(platform, member)
    monkeypatch.setattr("services.points.purchases.recorder.utc_now", lambda: now() + 30 * DAY)
    assert await refusal(points.record(other)) == EXPIRED
    assert await points.record(request) == first
    monkeypatch.undo()
    await platform.stop("identity")
    try:
        assert await points.record(request) == first
        assert await reason(points.record(other)) == "DEPENDENCY_UNAVAILABLE"
    finally:
        await in_process.start_service("identity")
    assert (await until_recorded(points, other)).balance_after == 2


async def test_a_forged_code_is_unknown(points: Points, platform: Platform) -> None:
    member = await platform.member()
    code = platform.signed_code(member)
    for place in (0, 1, 2, 20, 41, 60):
        wrong = "0" if code[place] != "0" else "4"
        forged = receipt(code[:place] + wrong + code[place + 1 :], sold_at=sold(now()))
        assert await reason(points.record(forged)) == "MEMBER_CODE_UNKNOWN"
    assert await points.balance(member) == 0


async def test_the_code_of_who_is_out_since_identity_was_asked_is_unknown(points: Points) -> None:
    member_id = uuid4()
    database = points.platform.databases["points"]
    await points.rows(
        "INSERT INTO members (member_id, version, status) VALUES (%(id)s, 9, 'SUSPENDED') RETURNING 1",
        id=member_id,
    )
    answers = await database.run(record_purchases, [signed_purchase(signed_code(member_id))])
    assert reasons(answers) == ["MEMBER_CODE_UNKNOWN"]


@pytest.mark.covers("I5 PurchaseService.RecordPurchase")
async def test_of_fifty_receipts_at_once_one_gets_the_code(points: Points, platform: Platform) -> None:
    member = await platform.member()
    code, moment = platform.signed_code(member), sold(now())
    requests = [receipt(code, sold_at=moment) for _ in range(50)]
    answers = await asyncio.gather(*map(points.record, requests), return_exceptions=True)
    won = [n for n, answer in enumerate(answers) if not isinstance(answer, BaseException)]
    assert len(won) == 1
    assert {await reason(points.record(request)) for n, request in enumerate(requests) if n not in won} == {
        "MEMBER_CODE_REPLAYED"
    }
    assert await points.record(requests[won[0]]) == answers[won[0]]
    assert await points.balance(member) == 1
    await points.assert_balanced()


async def test_of_fifty_writers_at_once_one_gets_the_code(points: Points, platform: Platform) -> None:
    database = platform.databases["points"]  # each run has a connection and a transaction of its own
    for _ in range(5):
        code = signed_code()
        purchases = [signed_purchase(code) for _ in range(50)]
        results = await asyncio.gather(*[database.run(record_purchases, [one]) for one in purchases])
        told = [name for result in results for name in reasons(result)]
        assert sorted(told) == ["MEMBER_CODE_REPLAYED"] * 49 + ["recorded"]
        assert await used_by(points, code) == [(purchases[told.index("recorded")].id,)]
    await points.assert_balanced()


async def test_one_receipt_sent_by_fifty_writers_at_once_counts_once(
    points: Points, platform: Platform
) -> None:
    database = platform.databases["points"]
    purchase = signed_purchase(signed_code())
    again = [replace(purchase, id=new_id()) for _ in range(50)]
    results = await asyncio.gather(*[database.run(record_purchases, [one]) for one in again])
    answers = [answer for result in results for answer in result]
    assert reasons(answers) == ["recorded"] * 50
    assert len({answer.purchase for answer in answers if isinstance(answer, Recorded)}) == 1
    await points.assert_balanced()


async def test_a_receipt_that_lost_a_race_leaves_its_code_free(points: Points, platform: Platform) -> None:
    database = platform.databases["points"]
    for _ in range(5):
        first = signed_purchase(signed_code())
        rivals = [
            signed_purchase(signed_code(), key=first.key, fingerprint=str(n).encode()) for n in range(30)
        ]
        results = await asyncio.gather(*[database.run(record_purchases, [one]) for one in rivals])
        told = [name for result in results for name in reasons(result)]
        assert sorted(told) == ["RECEIPT_CONFLICT"] * 29 + ["recorded"]
        for rival, name in zip(rivals, told, strict=True):
            assert rival.signed_code
            assert bool(await used_by(points, rival.signed_code)) == (name == "recorded")
            other = signed_purchase(rival.signed_code)
            answers = await database.run(record_purchases, [other])
            assert reasons(answers) == ["MEMBER_CODE_REPLAYED" if name == "recorded" else "recorded"]


async def test_each_of_a_batch_of_both_kinds_is_answered_on_its_own(
    points: Points, platform: Platform
) -> None:
    database = platform.databases["points"]
    lasting, used = uuid4().hex.upper(), signed_code()
    await database.run(keep_member_codes, {lasting: used.member_id})
    await database.run(record_purchases, [signed_purchase(used)])
    code, late = signed_code(used.member_id), signed_code(used.member_id)
    good = signed_purchase(code)
    refused = DomainError("MEMBER_CODE_EXPIRED", "too late")
    batch = [
        new_purchase(lasting),
        signed_purchase(used),
        good,
        signed_purchase(code),
        replace(good, id=new_id()),
        new_purchase("NOBODY"),
        signed_purchase(late, refusal=refused),
        new_purchase(lasting),
        replace(good, id=new_id(), fingerprint=b"other"),
    ]
    answers = await database.run(record_purchases, batch)
    assert reasons(answers) == [
        "recorded",
        "MEMBER_CODE_REPLAYED",
        "recorded",
        "MEMBER_CODE_REPLAYED",
        "recorded",
        "MEMBER_CODE_UNKNOWN",
        "MEMBER_CODE_EXPIRED",
        "recorded",
        "RECEIPT_CONFLICT",
    ]
    recorded = [answer for answer in answers if isinstance(answer, Recorded)]
    assert {answer.now.member_id for answer in recorded if answer.now} == {used.member_id}
    assert [answer.purchase.balance_after for answer in recorded] == [6, 9, 9, 12]
    assert await used_by(points, late) == []
    await points.assert_balanced()


async def test_writers_with_codes_of_both_kinds_never_wait_in_a_circle(
    points: Points, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.common.db._TRIES", 1)  # a deadlock shows instead of being repeated
    database = platform.databases["points"]
    members = {uuid4().hex.upper(): uuid4() for _ in range(20)}
    await database.run(keep_member_codes, members)
    for _ in range(10):
        codes = [signed_code(member_id) for member_id in members.values()]
        shared = [new_purchase(code) for code in members] + [signed_purchase(code) for code in codes]
        batches = [
            [signed_purchase(code) for code in random.sample(codes, k=8)]
            + [new_purchase(code) for code in random.sample(list(members), k=8)]
            + [replace(purchase, id=new_id()) for purchase in random.sample(shared, k=15)]
            for _ in range(10)
        ]
        for batch in batches:
            random.shuffle(batch)
        await asyncio.gather(*[database.run(record_purchases, batch) for batch in batches])
        bound = [await used_by(points, code) for code in codes]
        assert all(len(purchases) <= 1 for purchases in bound)
    twice = await points.rows(
        "SELECT u.code_id FROM used_codes u LEFT JOIN purchases p ON p.id = u.purchase_id WHERE p.id IS NULL"
    )
    assert twice == []  # a code is bound exactly when its purchase is there
    await points.assert_balanced()


async def test_every_single_typo_of_a_lasting_code_is_caught_without_asking_identity(
    points: Points, platform: Platform, in_process: InProcess
) -> None:
    member = await platform.member()
    typos = [
        member.code[:place] + wrong + member.code[place + 1 :]
        for place, right in enumerate(member.code)
        for wrong in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
        if read_code(wrong) != right  # O, I and L are read as the digits that they look like
    ]
    calls = [points.record(receipt(code, item(1_000))) for code in typos]
    await platform.stop("identity")  # calls to it get DEPENDENCY_UNAVAILABLE
    try:
        answers = await asyncio.gather(*[reason(call) for call in calls])
        assert set(answers) == {"MEMBER_CODE_UNKNOWN"}
        for code in ("NOBODY", member.code[:-1], member.code + "0", "S1" + "U" * 59, "S1" + "0" * 58):
            assert await reason(points.record(receipt(code))) == "MEMBER_CODE_UNKNOWN"
        assert await reason(points.record(receipt(member.code))) == "DEPENDENCY_UNAVAILABLE"
    finally:
        await in_process.start_service("identity")
    await until_recorded(points, receipt(member.code))
