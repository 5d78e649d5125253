"""Where a refund takes points from: lots, what has expired, below zero or a debt; all of it adds up."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scrip.points.v1 import purchase_pb2

from services.points.members.tests.test_members_who_leave import ledger, registered
from services.points.programme import RefundPolicy
from services.points.refunds.rules import Standing, cover
from services.points.tests.own_service import OwnService, own_service
from services.points.tests.returns import (
    BONUS,
    RULES,
    change,
    expire,
    get_mine,
    owing,
    refund,
    split,
)
from services.points.tests.support import Points, item, receipt
from tests.inprocess import Member, Platform, eventually, reason


@pytest.fixture(scope="module")
async def floored(platform: Platform) -> AsyncIterator[OwnService]:
    """Points where refunds of spent points take the balance below zero, down to -5."""
    policy = {"refund_policy": RefundPolicy.NEGATIVE_BALANCE, "balance_floor": -5}
    async with own_service(platform, **policy) as own:
        yield own


@pytest.mark.covers("P5 PurchaseService.RefundPurchase")
async def test_the_purchases_own_lot_is_taken_first_and_then_the_oldest(
    points: Points, platform: Platform
) -> None:
    member = await platform.member()
    await points.earn(member, 10)
    bought = await points.earn(member, 10)
    await points.earn(member, 10)
    await refund(points, (await points.earn(member, 1)).purchase.id)
    assert await points.lots(member) == [(10, 10), (10, 10), (10, 10), (1, 0)]
    await change(
        points,
        "UPDATE lots SET remaining = 4 WHERE member_id = %(id)s AND id = 2",
        id=member.id,
    )
    await change(  # the other six were spent
        points,
        "WITH a AS (UPDATE accounts SET balance = balance - 6, version = version + 1 WHERE member_id = %(id)s"
        " RETURNING balance, version) INSERT INTO ledger_entries"
        " (member_id, sequence, kind, delta, balance_after, reference)"
        " SELECT %(id)s, version, 'SPEND', -6, balance, 'test' FROM a",
        id=member.id,
    )
    assert split(await refund(points, bought.purchase.id)) == (10, 10, 0, 0, 0)
    assert await points.lots(member) == [(10, 4), (10, 0), (10, 10), (1, 0)]
    assert await points.balance(member) == 14
    await points.assert_balanced()


@pytest.mark.covers("P5 PurchaseService.RefundPurchase")
async def test_spent_points_are_owed_and_paid_by_what_is_earned_next(
    points: Points, platform: Platform
) -> None:
    member = await platform.member()
    bought = await points.earn(member, 10)
    await points.debit(uuid4(), member, 8)
    reply = await refund(points, bought.purchase.id)
    assert split(reply) == (10, 2, 8, 0, 0)
    assert reply.balance_after == 0
    assert await owing(points, member) == (0, 8)
    entry = (await points.entries(member)).entries[0]
    assert (entry.delta, entry.debt_delta, entry.balance_after) == (-2, 8, 0)
    await points.earn(member, 5)
    assert await owing(points, member) == (0, 3)
    assert (await points.earn(member, 5)).balance_after == 2
    assert await owing(points, member) == (2, 0)
    await points.assert_balanced()


async def test_a_debt_alone_is_an_entry_of_its_own(points: Points, platform: Platform) -> None:
    member, order = await platform.member(), uuid4()
    bought = await points.earn(member, 10)
    await points.debit(order, member, 10)
    assert split(await refund(points, bought.purchase.id, "F-1", [(1, 1)])) == (10, 0, 10, 0, 0)
    entry = (await points.entries(member)).entries[0]
    assert (entry.delta, entry.debt_delta, entry.purchase_id) == (0, 10, bought.purchase.id)
    await points.undo(order, member)
    assert await owing(points, member) == (0, 0)
    await points.assert_balanced()


@pytest.mark.covers("P5 PurchaseService.RefundPurchase")
async def test_the_balance_goes_below_zero_down_to_its_floor(floored: OwnService, platform: Platform) -> None:
    member = await platform.member()
    bought = await floored.record(receipt(member.code, item(1_000, 10)))
    await floored.debit(uuid4(), member, 9)
    for number, expected, balance in (
        (1, (1, 1, 0, 0, 0), 0),
        (3, (3, 3, 0, 0, 0), -3),
        (3, (3, 2, 0, 0, 1), -5),
        (3, (3, 0, 0, 0, 3), -5),
    ):
        reply = await refund(floored, bought.purchase.id, str(uuid4()), [(1, number)])
        assert (split(reply), reply.balance_after) == (expected, balance)
        assert await owing(floored, member) == (balance, 0)
    assert len((await floored.entries(member)).entries) == 5  # what is given up moves nothing
    assert (await floored.earn(member, 7)).balance_after == 2
    assert await floored.lots(member) == [(10, 0), (2, 2)]
    await floored.assert_balanced()


async def test_the_refund_of_a_purchase_that_paid_a_debt_is_covered_by_other_points(
    points: Points, platform: Platform
) -> None:
    member = await platform.member()
    first = await points.earn(member, 10)
    await points.debit(uuid4(), member, 10)
    await refund(points, first.purchase.id)
    second = await points.earn(member, 10)
    assert await owing(points, member) == (0, 0)
    await points.earn(member, 4)
    assert split(await refund(points, second.purchase.id)) == (10, 4, 6, 0, 0)
    assert await owing(points, member) == (0, 6)
    await points.assert_balanced()


@pytest.mark.covers("P5 PurchaseService.RefundPurchase")
async def test_expired_points_are_not_taken_twice(points: Points, platform: Platform) -> None:
    member = await platform.member()
    bought = await points.record(receipt(member.code, item(1_000, 10)))
    await points.debit(uuid4(), member, 3)
    await expire(points, member)
    await points.earn(member, 20)
    assert split(await refund(points, bought.purchase.id, "F-1", [(1, 5)])) == (5, 0, 0, 5, 0)
    assert await points.balance(member) == 20
    assert split(await refund(points, bought.purchase.id, "F-2", [(1, 4)])) == (4, 2, 0, 2, 0)
    reply = await refund(points, bought.purchase.id, "F-3")
    assert (split(reply), reply.balance_after) == ((1, 1, 0, 0, 0), 17)
    await points.assert_balanced()


async def test_a_closed_account_gives_nothing_back(points: Points, platform: Platform) -> None:
    member = await registered(points, platform)
    bought = await points.earn(member, 10)
    await points.send_event(member.id, 3, "CLOSED")
    before = await ledger(points, member)
    reply = await refund(points, bought.purchase.id)
    assert (split(reply), reply.balance_after) == ((10, 0, 0, 0, 10), 0)
    assert await ledger(points, member) == before
    await points.assert_balanced()


async def test_a_suspended_members_goods_can_be_returned(points: Points, platform: Platform) -> None:
    member = await registered(points, platform)
    bought = await points.earn(member, 10)
    await points.send_event(member.id, 3, "SUSPENDED")
    assert split(await refund(points, bought.purchase.id)) == (10, 10, 0, 0, 0)


async def test_the_bonus_goes_with_the_last_point_and_rules_of_then_hold(
    floored: OwnService, platform: Platform
) -> None:
    await change(floored, RULES, rules=BONUS)

    async def first() -> tuple[Member, Any]:
        member = await platform.member()
        reply = await floored.record(receipt(member.code, item(1_000, 2), item(100)))
        assert reply.purchase.bonus_points == 50
        return member, reply

    member, bought = await eventually(first)
    await change(floored, RULES, rules="[]")
    assert bought.purchase.points == 4 + 50
    assert split(await refund(floored, bought.purchase.id, "F-1", [(1, 1)]))[0] == 2
    assert split(await refund(floored, bought.purchase.id, "F-2", [(1, 1)]))[0] == 52
    assert split(await refund(floored, bought.purchase.id, "F-3"))[0] == 0
    assert await floored.balance(member) == 0

    async def plain() -> None:
        reply = await floored.record(receipt(member.code, item(1_000, 2)))
        assert (reply.purchase.points, reply.purchase.bonus_points) == (2, 0)

    await eventually(plain)
    await floored.assert_balanced()


PRICES = st.integers(0, 3_000)
QUANTITIES = st.integers(1, 4)
RECEIPTS = st.lists(st.tuples(PRICES, QUANTITIES, st.booleans()), min_size=1, max_size=5)


@pytest.mark.covers("P5 PurchaseService.RefundPurchase")
@given(
    lines=RECEIPTS,
    spent=st.integers(0, 12),
    expired=st.booleans(),
    more=st.integers(0, 5),
    seed=st.randoms(use_true_random=False),
)
@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
async def test_random_partial_refunds_add_up_to_what_was_earned(
    both: tuple[Points, Platform],
    *,
    lines: list[tuple[int, int, bool]],
    spent: int,
    expired: bool,
    more: int,
    seed: random.Random,
) -> None:
    points, platform = both
    member = await platform.member()
    items = [item(price, quantity, alcohol=alcohol) for price, quantity, alcohol in lines]
    bought = (await points.record(receipt(member.code, *items))).purchase
    if spent and spent <= bought.points:
        await points.debit(uuid4(), member, spent)
    if expired:
        await expire(points, member)
    if more:
        await points.earn(member, more)
    singles = [line for line, (_, quantity, _) in enumerate(lines, 1) for _ in range(quantity)]
    seed.shuffle(singles)
    replies: list[purchase_pb2.RefundPurchaseResponse] = []
    while singles:
        part, singles = singles[: (cut := seed.randint(1, 4))], singles[cut:]
        wanted = [(line, part.count(line)) for line in dict.fromkeys(part)]
        replies.append(await refund(points, bought.id, f"F-{len(replies)}", wanted))
    parts = [split(reply) for reply in replies]
    assert sum(part[0] for part in parts) == bought.points
    assert all(part[0] == sum(part[1:]) for part in parts)
    assert sum(reply.refund.amount.amount_minor for reply in replies) == bought.total.amount_minor
    assert await reason(refund(points, bought.id, "F-last")) == "NOTHING_TO_REFUND"
    shown = await get_mine(points, member, bought.id)
    assert list(shown.refunds) == [reply.refund for reply in replies]
    await points.assert_balanced()


@pytest.fixture(scope="module", params=["debt", "negative balance"])
async def both(
    request: pytest.FixtureRequest, platform: Platform, points: Points, floored: OwnService
) -> tuple[Points, Platform]:
    """Points under either policy."""
    return (points if request.param == "debt" else floored), platform


@given(
    due=st.integers(0, 50),
    balance=st.integers(-10, 40),
    debt=st.integers(0, 20),
    closed=st.booleans(),
    lot=st.integers(0, 40),
    lot_expired=st.integers(0, 20),
    policy=st.sampled_from(RefundPolicy),
    floor=st.integers(-20, 0),
)
@settings(max_examples=500)
def test_cover_takes_no_more_than_there_is_and_gives_up_only_what_nothing_else_can_cover(
    *,
    due: int,
    balance: int,
    debt: int,
    closed: bool,
    lot: int,
    lot_expired: int,
    policy: RefundPolicy,
    floor: int,
) -> None:
    books = Standing(balance, debt, closed, min(lot, max(balance, 0)), lot_expired)
    made = cover(due, books, policy, floor)
    assert made.points == due
    assert min(made.own, made.others, made.below_zero, made.owed, made.expired, made.waived) >= 0
    assert made.own <= books.lot_left
    assert made.expired <= lot_expired
    assert made.own + made.others <= max(balance, 0)
    if made.expired:
        assert made.own == books.lot_left
    if made.below_zero or made.owed:
        assert made.own + made.others == max(balance, 0)
    if made.below_zero:
        assert balance - made.taken >= floor
    if made.waived and not closed:
        assert policy is RefundPolicy.NEGATIVE_BALANCE
        assert balance - made.taken <= floor
    if closed:
        assert made.waived == due
