"""Many purchases at the same time: one receipt counts once, and nobody suffers for another."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from uuid import uuid4

import grpc
import pytest

from services.common.errors import DomainError
from services.common.ids import new_id, utc_now
from services.points.earning import Item
from services.points.members.member_codes import keep_member_codes
from services.points.programme import balance_limit_reached
from services.points.purchases.commands import record_purchases
from services.points.purchases.purchase import NewPurchase, ReceiptKey, Recorded
from services.points.tests.support import Points, item, receipt
from tests.inprocess import InProcess, Platform, eventually, refusal


def new_purchase(member_code: str, **changes: object) -> NewPurchase:
    """Returns a purchase as the handler decodes it, which earns 3 points."""
    purchase = NewPurchase(
        key=ReceiptKey(uuid4(), "", "R-1"),
        fingerprint=b"first",
        id=new_id(),
        member_code=member_code,
        sold_at=utc_now(),
        currency_code="USD",
        total_minor=3_000,
        eligible_minor=3_000,
        points=3,
        items=[Item("1", "Bread", "bakery", 3_000, 1, alcohol=False, quantity_milli=0, total_minor=3_000)],
        rule_set_id=1,
    )
    return replace(purchase, **changes)  # type: ignore[arg-type]  # fields by name


@pytest.fixture
async def known_code(platform: Platform) -> str:
    """The code of a member that points has kept."""
    code = uuid4().hex.upper()
    await platform.databases["points"].run(keep_member_codes, {code: uuid4()})
    return code


def reasons(answers: list[Recorded | DomainError]) -> list[str]:
    """Returns the reason of each answer, or `recorded`."""
    return [answer.reason if isinstance(answer, DomainError) else "recorded" for answer in answers]


@pytest.mark.covers("P1 PurchaseService.RecordPurchase")
async def test_a_receipt_sent_a_hundred_times_at_once_counts_once(points: Points, platform: Platform) -> None:
    member = await platform.member()
    request = receipt(member.code, item(60_000))
    replies = await asyncio.gather(*[points.record(request) for _ in range(100)])
    assert len({reply.SerializeToString(deterministic=True) for reply in replies}) == 1
    assert replies[0].balance_after == 60
    assert await points.balance(member) == 60
    assert len((await points.purchases(member)).purchases) == 1
    assert len((await points.entries(member)).entries) == 1


async def test_of_two_contents_at_once_one_wins_and_the_other_is_refused(
    points: Points, platform: Platform
) -> None:
    member = await platform.member()
    request, other = receipt(member.code, item(1_000)), receipt(member.code, item(2_000))
    other.receipt_number = request.receipt_number
    calls = [points.record(request if n % 2 else other) for n in range(40)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    won = [answer for answer in answers if not isinstance(answer, BaseException)]
    refused = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert len(won) == len(refused) == 20
    assert len({reply.SerializeToString(deterministic=True) for reply in won}) == 1
    assert {error.code() for error in refused} == {grpc.StatusCode.ALREADY_EXISTS}
    assert await points.balance(member) == won[0].purchase.points


@pytest.mark.covers("P2 PurchaseService.RecordPurchase")
async def test_writers_of_several_processes_record_a_receipt_once(
    points: Points, platform: Platform, known_code: str
) -> None:
    database = platform.databases["points"]  # each run has a connection and a transaction of its own
    purchase = new_purchase(known_code)
    batches = [[new_purchase(known_code), replace(purchase, id=new_id())] for _ in range(10)]
    results = await asyncio.gather(*[database.run(record_purchases, batch) for batch in batches])
    answers = [answer for result in results for answer in result if isinstance(answer, Recorded)]
    assert len(answers) == 20
    assert len({answer.purchase for answer in answers}) == 11
    assert max(answer.now.balance for answer in answers if answer.now) == 33
    await points.assert_balanced()


@pytest.mark.covers("P2 PurchaseService.RecordPurchase")
async def test_writers_never_wait_for_each_other_in_a_circle(
    points: Points, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.common.db._TRIES", 1)  # a deadlock shows instead of being repeated
    database = platform.databases["points"]
    members = {uuid4().hex.upper(): uuid4() for _ in range(20)}
    await database.run(keep_member_codes, members)
    for _ in range(10):
        shared = [new_purchase(code) for code in members]
        batches = [
            [new_purchase(code) for code in random.sample(list(members), k=15)]
            + [replace(purchase, id=new_id()) for purchase in random.sample(shared, k=15)]
            for _ in range(10)
        ]
        for batch in batches:
            random.shuffle(batch)
        await asyncio.gather(*[database.run(record_purchases, batch) for batch in batches])
    await points.assert_balanced()


@pytest.mark.covers("P8 PointsInternalService.Debit")
async def test_purchases_debits_and_undos_at_once_keep_every_book_right(
    points: Points, platform: Platform
) -> None:
    members = [await platform.member() for _ in range(20)]
    await asyncio.gather(*[points.earn(member, 50) for member in members])
    orders = [(uuid4(), random.choice(members), random.randint(1, 60)) for _ in range(100)]
    purchases = [points.earn(random.choice(members), random.randint(0, 9)) for _ in range(300)]
    debits = [points.debit(order, member, number) for order, member, number in orders]
    undos = [points.undo(order, member) for order, member, _ in orders[::2]]
    calls = [*purchases, *debits, *undos]
    random.shuffle(calls)
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert {error.code() for error in refused if isinstance(error, grpc.aio.AioRpcError)} <= {
        grpc.StatusCode.FAILED_PRECONDITION  # too few points, or undone before
    }
    await points.assert_balanced()
    lots = await asyncio.gather(*[points.lots(member) for member in members])
    balances = await asyncio.gather(*[points.balance(member) for member in members])
    assert balances == [sum(left for _, left in member_lots) for member_lots in lots]


@pytest.mark.covers("P1 PurchaseService.RecordPurchase")
async def test_an_unknown_code_does_not_fail_its_neighbours(points: Points, platform: Platform) -> None:
    member = await platform.member()
    calls = [points.record(receipt(member.code if n % 3 else "NOBODY")) for n in range(30)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    failed = [n for n, answer in enumerate(answers) if isinstance(answer, BaseException)]
    assert failed == list(range(0, 30, 3))
    assert await points.balance(member) == 20


@pytest.mark.covers("P2 PurchaseService.RecordPurchase")
async def test_each_of_a_batch_is_answered_on_its_own(platform: Platform, known_code: str) -> None:
    good, refused = new_purchase(known_code), new_purchase(known_code, refusal=balance_limit_reached())
    again, other = replace(good, id=new_id()), replace(good, id=new_id(), fingerprint=b"other")
    batch = [new_purchase("NOBODY"), good, refused, again, other, new_purchase(known_code)]
    answers = await platform.databases["points"].run(record_purchases, batch)
    assert reasons(answers) == [
        "MEMBER_CODE_UNKNOWN",
        "recorded",
        "BALANCE_LIMIT_REACHED",
        "recorded",
        "RECEIPT_CONFLICT",
        "recorded",
    ]
    assert isinstance(answers[1], Recorded)
    assert isinstance(answers[3], Recorded)
    assert answers[1].purchase == answers[3].purchase


async def test_each_of_a_batch_tells_the_balance_right_after_it(
    points: Points, platform: Platform, known_code: str
) -> None:
    other_code = uuid4().hex.upper()
    await platform.databases["points"].run(keep_member_codes, {other_code: uuid4()})
    earning, idle = new_purchase(known_code), new_purchase(known_code, points=0)
    batch = [earning, idle, new_purchase(other_code), new_purchase(known_code), new_purchase(known_code)]
    answers = await platform.databases["points"].run(record_purchases, batch)
    recorded = [answer for answer in answers if isinstance(answer, Recorded)]
    assert [answer.purchase.balance_after for answer in recorded] == [3, 3, 3, 6, 9]
    assert [answer.now.balance for answer in recorded if answer.now] == [9, 9, 3, 9, 9]
    assert [answer.now.version for answer in recorded if answer.now] == [3, 3, 1, 3, 3]
    numbers = await points.rows(
        "SELECT number FROM purchases JOIN unnest(%(ids)s::uuid[]) WITH ORDINALITY AS t (id, place)"
        " USING (id) ORDER BY place",
        ids=[purchase.id for purchase in batch],
    )
    assert numbers == [(1,), (2,), (1,), (3,), (4,)]
    await points.assert_balanced()


async def test_a_refused_receipt_does_not_stand_in_the_way_of_its_correction(
    platform: Platform, known_code: str
) -> None:
    wrong = new_purchase("NOBODY")
    repeated, right = replace(wrong, id=new_id()), replace(wrong, member_code=known_code, fingerprint=b"r")
    batch = [wrong, repeated, right, replace(right, id=new_id())]
    answers = await platform.databases["points"].run(record_purchases, batch)
    assert reasons(answers) == ["MEMBER_CODE_UNKNOWN", "MEMBER_CODE_UNKNOWN", "recorded", "recorded"]


async def test_a_balance_at_its_limit_refuses_only_what_would_pass_it(
    points: Points, platform: Platform
) -> None:
    member, neighbour = await platform.member(), await platform.member()
    for _ in range(21):
        await points.record(receipt(member.code, item(10**10, 10)))
    too_much = [points.record(receipt(member.code, item(10**10, 10))) for _ in range(4)]
    fits = points.record(receipt(member.code, item(10**10, 4)))
    beside = [points.earn(neighbour, 1) for _ in range(20)]
    answers = await asyncio.gather(*too_much, fits, *beside, return_exceptions=True)
    assert [isinstance(answer, BaseException) for answer in answers] == [True] * 4 + [False] * 21
    assert await refusal(points.record(receipt(member.code, item(10**10, 10)))) == (
        "BALANCE_LIMIT_REACHED",
        grpc.StatusCode.FAILED_PRECONDITION,
        {},
    )
    assert await points.balance(member) == 2_140_000_000
    assert await points.balance(neighbour) == 20
    await points.assert_balanced()


@pytest.mark.covers("P2 PurchaseService.RecordPurchase")
async def test_callers_that_go_away_harm_nobody(points: Points, platform: Platform) -> None:
    member = await platform.member()
    await points.earn(member, 1)
    requests = [receipt(member.code) for _ in range(40)]
    calls = [asyncio.create_task(points.record(request)) for request in requests]
    await asyncio.sleep(0.002)
    for call in calls[::2]:
        call.cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(not isinstance(outcome, BaseException) for outcome in outcomes[1::2])
    replies = await asyncio.gather(*[points.record(request) for request in requests])
    assert list(replies[1::2]) == outcomes[1::2]
    assert await points.balance(member) == 41
    await points.assert_balanced()


async def test_without_identity_known_codes_and_old_receipts_are_served(
    points: Points, platform: Platform, in_process: InProcess
) -> None:
    known, unknown = await platform.member(), await platform.member()
    old = receipt(known.code)
    first = await points.record(old)
    new = receipt(unknown.code)
    await platform.stop("identity")
    try:
        calls = [points.record(new), *[points.record(receipt(known.code)) for _ in range(5)]]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert [isinstance(answer, BaseException) for answer in answers] == [True] + [False] * 5
        assert await refusal(points.record(new)) == (
            "DEPENDENCY_UNAVAILABLE",
            grpc.StatusCode.UNAVAILABLE,
            {"dependency": "identity"},
        )
        assert await points.record(old) == first
    finally:
        await in_process.start_service("identity")

    async def recorded() -> None:
        try:
            assert (await points.record(new)).balance_after == 1
        except grpc.aio.AioRpcError as error:  # until the channel has connected again
            raise AssertionError from error

    await eventually(recorded)
    assert await points.balance(known) == 6
