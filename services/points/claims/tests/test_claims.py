"""Claiming receipts that were recorded without a member: at the till, or by the code on the receipt."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import grpc
import pytest

from services.common.db import Connection
from services.points.claims.purchase_claims import WRONG_CODES
from services.points.members.tests.test_members_who_leave import ledger, registered
from services.points.programme import RefundPolicy
from services.points.purchases.commands import record_purchases
from services.points.purchases.purchase import Claim, Recorded, new_claim_code
from services.points.purchases.tests.test_purchases_at_once import new_purchase
from services.points.tests.own_service import own_service
from services.points.tests.returns import (
    BONUS,
    RULES,
    change,
    claim,
    claim_mine,
    encoded,
    get_mine,
    owing,
    refund,
    split,
    unclaimed,
)
from services.points.tests.support import Points, item, receipt
from tests.inprocess import InProcess, Member, Platform, eventually, reason, refusal

FAILED, MISSING = grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND
NOT_VALID: object = ("CLAIM_CODE_NOT_VALID", MISSING, {})
TAKEN: object = ("PURCHASE_CLAIMED", FAILED, {})


async def end_claim(points: Points, code: str) -> str:
    """Lets the time for a claim be over; returns when it ended."""
    rows = await points.rows(
        "SELECT claim_until - interval '20 days' FROM unclaimed_purchases WHERE claim_code = %(code)s",
        code=code,
    )
    await change(
        points,
        "UPDATE unclaimed_purchases SET claim_until = %(until)s WHERE claim_code = %(code)s",
        until=rows[0][0],
        code=code,
    )
    ended: datetime = rows[0][0].astimezone(UTC)
    return ended.isoformat(timespec="seconds").replace("+00:00", "Z")


@pytest.mark.covers("P1 PointsService.ClaimMyPurchase")
async def test_the_member_claims_by_the_code_on_the_receipt(points: Points, platform: Platform) -> None:
    member = await platform.member()
    await points.earn(member, 2)
    bought = await unclaimed(points, item(5_000))
    code = bought.claim.claim_code.lower()
    typed = f" {code[:4]}-{code[4:8]} {code[8:]}"
    claimed = await claim_mine(points, member, typed)
    assert (claimed.purchase.points, claimed.balance_after) == (5, 7)
    assert claimed.purchase == bought.purchase
    assert await points.balance(member) == 7
    assert await ledger(points, member) == [
        ("EARN", 2, 2, (await points.purchases(member)).purchases[1].id),
        ("EARN", 5, 7, bought.purchase.id),
    ]
    assert await points.lots(member) == [(2, 2), (5, 5)]
    assert (await points.purchases(member)).purchases[0] == claimed.purchase
    shown = await get_mine(points, member, bought.purchase.id)
    assert (shown.member_id, shown.HasField("claim_until")) == (str(member.id), False)
    await points.assert_balanced()


@pytest.mark.covers("P1 PurchaseService.ClaimPurchase")
async def test_the_till_claims_for_the_member_who_shows_a_code(points: Points, platform: Platform) -> None:
    member = await platform.member()
    bought = await unclaimed(points, item(5_000), till_number="7")
    number = bought.purchase.receipt_number
    code = f"{member.code[:6]} {member.code[6:]}".lower()
    claimed = await claim(points, number, code, till_number="7")
    assert (claimed.purchase, claimed.balance_after) == (bought.purchase, 5)
    assert await points.balance(member) == 5
    await points.assert_balanced()


async def test_done_again_it_gets_the_same_answer(
    points: Points, platform: Platform, in_process: InProcess
) -> None:
    member = await platform.member()
    bought = await unclaimed(points, item(5_000))
    number, code = bought.purchase.receipt_number, bought.claim.claim_code
    first = await claim(points, number, member.code)
    await points.earn(member, 3)
    await refund(points, bought.purchase.id, lines=[(1, 1)])
    await end_claim(points, code)
    assert encoded(await claim(points, number, member.code)) == encoded(first)
    assert encoded(await claim(points, number, platform.signed_code(member))) == encoded(first)
    mine = await claim_mine(points, member, code)
    assert (mine.purchase, mine.balance_after) == (first.purchase, first.balance_after)
    assert await points.balance(member) == 3
    await points.assert_balanced()


async def test_a_receipt_that_was_the_members_from_the_start_is_answered_alike(
    points: Points, platform: Platform
) -> None:
    member, other = await platform.member(), await platform.member()
    bought = await points.earn(member, 5)
    claimed = await claim(points, bought.purchase.receipt_number, member.code)
    assert (claimed.purchase, claimed.balance_after) == (bought.purchase, 5)
    assert await refusal(claim(points, bought.purchase.receipt_number, other.code)) == TAKEN
    assert await points.balance(member) == 5


async def test_what_is_anothers_can_not_be_claimed(points: Points, platform: Platform) -> None:
    member, other = await platform.member(), await platform.member()
    bought = await unclaimed(points)
    await claim_mine(points, member, bought.claim.claim_code)
    assert await refusal(claim(points, bought.purchase.receipt_number, other.code)) == TAKEN
    assert await refusal(claim_mine(points, other, bought.claim.claim_code)) == NOT_VALID
    assert (await points.balance(member), await points.balance(other)) == (1, 0)


@pytest.mark.covers("P1 PointsService.ClaimMyPurchase")
async def test_after_its_time_it_can_not_be_claimed(points: Points, platform: Platform) -> None:
    member = await platform.member()
    bought = await unclaimed(points)
    ended = await end_claim(points, bought.claim.claim_code)
    expired = ("CLAIM_EXPIRED", FAILED, {"claim_until": ended})
    assert await refusal(claim_mine(points, member, bought.claim.claim_code)) == expired
    assert await refusal(claim(points, bought.purchase.receipt_number, member.code)) == expired
    assert await points.balance(member) == 0


@pytest.mark.covers("P1 PurchaseService.ClaimPurchase")
async def test_tills_claim_their_own_receipts_alone(points: Points, platform: Platform) -> None:
    member = await platform.member()
    bought = await unclaimed(points, till_number="7")
    number = bought.purchase.receipt_number
    not_found: object = ("PURCHASE_NOT_FOUND", MISSING, {})
    assert await refusal(claim(points, number, member.code)) == not_found
    foreign = claim(points, number, member.code, till_number="7", token=await platform.till())
    assert await refusal(foreign) == not_found
    assert await reason(claim(points, number, member.code, token=member.token)) == "ROLE_NOT_ALLOWED"
    assert await reason(claim(points, number, "NOBODY", till_number="7")) == "MEMBER_CODE_UNKNOWN"
    assert await reason(claim(points, number, "---", till_number="7")) == "MEMBER_CODE_UNKNOWN"
    assert await reason(claim(points, "R\0", member.code)) == "VALIDATION_FAILED"
    assert await reason(claim(points, number, "", till_number="7")) == "VALIDATION_FAILED"
    await claim(points, number, member.code, till_number="7")


@pytest.mark.covers("P1 PurchaseService.ClaimPurchase")
async def test_a_signed_code_is_good_for_one_receipt_within_its_minute(
    points: Points, platform: Platform
) -> None:
    member = await platform.member()
    one, other = await unclaimed(points), await unclaimed(points)
    old = platform.signed_code(member, datetime.now(UTC) - timedelta(seconds=62))
    assert await refusal(claim(points, one.purchase.receipt_number, old)) == (
        "MEMBER_CODE_EXPIRED",
        FAILED,
        {},
    )
    code = platform.signed_code(member)
    first = await claim(points, one.purchase.receipt_number, code)
    assert encoded(await claim(points, one.purchase.receipt_number, code)) == encoded(first)
    replayed: object = ("MEMBER_CODE_REPLAYED", FAILED, {})
    assert await refusal(claim(points, other.purchase.receipt_number, code)) == replayed
    assert await refusal(points.record(receipt(code))) == replayed
    used = platform.signed_code(member)
    await points.record(receipt(used))
    assert await refusal(claim(points, other.purchase.receipt_number, used)) == replayed
    assert await points.balance(member) == 2
    await points.assert_balanced()


@pytest.mark.covers("P1 PurchaseService.ClaimPurchase")
async def test_a_retry_needs_neither_the_code_nor_identity(
    points: Points, platform: Platform, in_process: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = await platform.member()
    bought = await unclaimed(points)
    code = platform.signed_code(member)
    first = await claim(points, bought.purchase.receipt_number, code)
    monkeypatch.setattr(
        "services.points.claims.purchase_claims.utc_now", lambda: datetime.now(UTC) + timedelta(days=1)
    )
    await platform.stop("identity")
    try:
        assert encoded(await claim(points, bought.purchase.receipt_number, code)) == encoded(first)
    finally:
        await in_process.start_service("identity")

    async def back() -> None:
        try:
            await points.record(receipt(platform.signed_code(member)))
        except grpc.aio.AioRpcError as error:
            raise AssertionError from error

    await eventually(back)


@pytest.mark.covers("P1 PointsService.ClaimMyPurchase")
@pytest.mark.parametrize(("event", "refused"), [("SUSPENDED", "SUSPENDED"), ("CLOSED", "CLOSED")])
async def test_members_who_are_out_claim_nothing(
    points: Points, platform: Platform, event: str, refused: str
) -> None:
    member = await registered(points, platform)
    bought = await unclaimed(points)
    signed = platform.signed_code(member)
    await points.earn(member, 1)
    await points.send_event(member.id, 3, event)
    expected = f"ACCOUNT_{refused}"
    assert await reason(claim_mine(points, member, bought.claim.claim_code)) == expected
    # identity knows nothing of this event, so the code is good there
    assert await reason(claim(points, bought.purchase.receipt_number, member.code)) == "MEMBER_CODE_UNKNOWN"
    assert await reason(claim(points, bought.purchase.receipt_number, signed)) == "MEMBER_CODE_UNKNOWN"
    other = await platform.member()
    await claim_mine(points, other, bought.claim.claim_code)
    await points.assert_balanced()


@pytest.mark.parametrize(
    "code", ["NOSUCHCODE12", "0123456789AB", "ILOU01234567", "ß" * 12, "A\0", "-", "0" * 64]
)
async def test_a_code_that_is_on_no_receipt_is_refused(points: Points, platform: Platform, code: str) -> None:
    assert await refusal(claim_mine(points, await platform.member(), code)) == NOT_VALID


@pytest.mark.covers("P1 PointsService.ClaimMyPurchase")
async def test_wrong_guesses_are_limited_and_right_ones_do_not_count(
    points: Points, platform: Platform
) -> None:
    member, other = await platform.member(), await platform.member()
    for _ in range(WRONG_CODES.count + 1):
        await claim_mine(points, member, (await unclaimed(points)).claim.claim_code)
    left = await unclaimed(points)
    for _ in range(WRONG_CODES.count):
        assert await reason(claim_mine(points, member, "0123456789AB")) == "CLAIM_CODE_NOT_VALID"
    answer, code, metadata = await refusal(claim_mine(points, member, left.claim.claim_code))
    assert (answer, code) == ("TOO_MANY_REQUESTS", grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert metadata["limit"] == "wrong_claim_codes_per_member"
    await claim_mine(points, other, left.claim.claim_code)


async def test_only_members_claim_by_code(points: Points, platform: Platform) -> None:
    bought = await unclaimed(points)
    till = Member(UUID(int=0), "", points.till, "", "")
    assert await reason(claim_mine(points, till, bought.claim.claim_code)) == "ROLE_NOT_ALLOWED"


async def test_a_claim_pays_a_debt_first(points: Points, platform: Platform) -> None:
    member = await platform.member()
    first = await points.earn(member, 10)
    await points.debit(UUID(int=random.getrandbits(128)), member, 10)
    await refund(points, first.purchase.id)
    bought = await unclaimed(points, item(1_000, 12))
    claimed = await claim_mine(points, member, bought.claim.claim_code)
    assert (claimed.purchase.points, claimed.balance_after) == (12, 2)
    assert await points.lots(member) == [(10, 0), (2, 2)]
    assert split(await refund(points, bought.purchase.id)) == (12, 2, 10, 0, 0)
    assert await owing(points, member) == (0, 10)
    await points.assert_balanced()


async def test_a_refund_takes_from_the_lot_that_the_claim_made(points: Points, platform: Platform) -> None:
    member = await platform.member()
    await points.earn(member, 4)
    bought = await unclaimed(points, item(1_000, 5))
    await claim_mine(points, member, bought.claim.claim_code)
    await refund(points, bought.purchase.id, lines=[(1, 3)])
    assert await points.lots(member) == [(4, 4), (5, 2)]
    await points.assert_balanced()


async def test_a_first_purchase_gets_its_bonus_by_the_rules_of_then_and_expires_from_now(
    platform: Platform,
) -> None:
    policy = {"refund_policy": RefundPolicy.NEGATIVE_BALANCE, "expire_months": 1}
    async with own_service(platform, **policy) as own:
        await change(own, RULES, rules=BONUS)

        async def doubled() -> Any:
            reply = await unclaimed(own, item(1_000, 2), item(400))
            assert reply.purchase.points == 4
            return reply

        bought = await eventually(doubled)
        again = await unclaimed(own, item(1_000))
        nothing = await unclaimed(own, item(400))
        await change(own, RULES, rules="[]")
        member = await platform.member()
        claimed = await claim_mine(own, member, nothing.claim.claim_code)
        assert (claimed.purchase.points, claimed.purchase.bonus_points) == (0, 0)
        claimed = await claim_mine(own, member, bought.claim.claim_code)
        assert (claimed.purchase.points, claimed.purchase.bonus_points) == (54, 50)
        assert claimed.balance_after == 54
        claimed = await claim_mine(own, member, again.claim.claim_code)
        assert (claimed.purchase.points, claimed.purchase.bonus_points) == (2, 0)
        rows = await own.rows(
            "SELECT expires_at - now() BETWEEN interval '27 days' AND interval '33 days'"
            " FROM lots WHERE member_id = %(id)s",
            id=member.id,
        )
        assert rows == [(True,), (True,)]
        assert split(await refund(own, bought.purchase.id)) == (54, 54, 0, 0, 0)
        assert await own.balance(member) == 2
        await own.assert_balanced()


@pytest.mark.covers("P1 PointsService.ClaimMyPurchase")
async def test_of_fifty_members_at_once_one_wins(points: Points, platform: Platform) -> None:
    members = [await platform.member() for _ in range(50)]
    bought = await unclaimed(points, item(5_000))
    number, code = bought.purchase.receipt_number, bought.claim.claim_code
    calls: list[Any] = [
        claim_mine(points, member, code) if n % 2 else claim(points, number, member.code)
        for n, member in enumerate(members)
    ]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    won = [n for n, answer in enumerate(answers) if not isinstance(answer, BaseException)]
    assert len(won) == 1
    assert {answer.code() for answer in answers if isinstance(answer, grpc.aio.AioRpcError)} == {
        FAILED,
        MISSING,
    }
    balances = [await points.balance(member) for member in members]
    assert balances == [5 if n == won[0] else 0 for n in range(50)]
    await points.assert_balanced()


async def test_one_member_fifty_times_at_once_gets_it_once(points: Points, platform: Platform) -> None:
    member = await platform.member()
    bought = await unclaimed(points, item(5_000))
    number, code = bought.purchase.receipt_number, bought.claim.claim_code
    calls: list[Any] = [claim_mine(points, member, code) for _ in range(25)]
    calls += [claim(points, number, member.code) for _ in range(25)]
    answers = await asyncio.gather(*calls)
    assert len({(encoded(answer.purchase), answer.balance_after) for answer in answers}) == 1
    assert await points.balance(member) == 5
    await points.assert_balanced()


async def test_claims_refunds_and_repetitions_at_once_keep_the_books(
    points: Points, platform: Platform
) -> None:
    for _ in range(8):
        member, other = await platform.member(), await platform.member()
        request = receipt("", item(1_000, 6))
        bought = await points.record(request)
        mine = receipt(member.code, item(2_000))
        calls: list[Any] = [
            *[claim_mine(points, one, bought.claim.claim_code) for one in (member, member, other)],
            *[refund(points, bought.purchase.id, f"F-{n}", [(1, 1)]) for n in range(6)],
            *[refund(points, bought.purchase.id, "F-0", [(1, 1)]) for _ in range(3)],
            *[points.record(request) for _ in range(4)],
            *[points.record(mine) for _ in range(2)],
        ]
        random.shuffle(calls)
        answers = await asyncio.gather(*calls, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, BaseException)]
        assert [await reason(_raised(error)) for error in refused] in (
            ["CLAIM_CODE_NOT_VALID"],
            ["CLAIM_CODE_NOT_VALID"] * 2,
        )
        assert encoded(await points.record(request)) == encoded(bought)
        assert (await points.balance(member), await points.balance(other)) == (2, 0)
        await points.assert_balanced()


async def _raised(error: BaseException) -> None:
    raise error


async def test_a_batch_that_repeats_a_receipt_does_not_wait_for_the_claim_that_waits_for_it(
    points: Points, platform: Platform
) -> None:
    """A batch may hold the member's account when it comes to the receipt; a deadlock would last a second."""
    member = await platform.member()
    await points.earn(member, 1)
    code = new_claim_code()
    free = new_purchase("", claim=Claim(code, datetime.now(UTC) + timedelta(days=1)))
    await points.database.run(record_purchases, [free])
    held = asyncio.Event()

    async def batch(connection: Connection) -> None:
        await record_purchases(connection, [new_purchase(member.code)])
        held.set()
        await asyncio.sleep(0.5)
        async with asyncio.timeout(0.4):
            (again,) = await record_purchases(connection, [free])
        assert isinstance(again, Recorded)
        assert again.purchase.id == free.id

    recording = asyncio.create_task(points.database.run(batch))
    await held.wait()
    claimed, _ = await asyncio.gather(claim_mine(points, member, code), recording)
    assert claimed.balance_after == 1 + 3 + 3
    await points.assert_balanced()
