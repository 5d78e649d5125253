"""Spending for orders: debited once, undone once, never below zero."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar
from uuid import UUID, uuid4

import grpc
import pytest
from scrip.points.internal.v1 import points_pb2, points_pb2_grpc
from scrip.points.v1 import points_pb2 as public_pb2

from services.points.tests.support import Points
from tests.inprocess import Platform, bearer, reason, refusal

T = TypeVar("T")
SPEND = public_pb2.ENTRY_KIND_SPEND
SPEND_UNDONE = public_pb2.ENTRY_KIND_SPEND_UNDONE


async def reason_or_answer(call: Awaitable[T]) -> T | str:
    """Returns the reply to a call, or the reason of its refusal."""
    (outcome,) = await asyncio.gather(call, return_exceptions=True)
    if not isinstance(outcome, BaseException):
        return outcome
    refused = outcome

    async def again() -> None:
        raise refused

    return await reason(again())


async def test_a_debit_takes_points_once_and_says_why(points: Points, platform: Platform) -> None:
    member, order = await platform.member(), uuid4()
    await points.earn(member, 600)
    assert await points.debit(order, member, 500) == 100
    await points.earn(member, 7)
    assert await points.debit(order, member, 500) == 100
    assert await points.balance(member) == 107
    spent = (await points.entries(member, kind=SPEND)).entries
    assert [(e.delta, e.balance_after, e.order_id) for e in spent] == [(-500, 100, str(order))]
    await points.assert_balanced()


@pytest.mark.covers("P8 PointsInternalService.Debit")
async def test_a_debit_repeated_32_times_at_once_takes_points_once(
    points: Points, platform: Platform
) -> None:
    member, order = await platform.member(), uuid4()
    await points.earn(member, 100)
    assert set(await asyncio.gather(*[points.debit(order, member, 40) for _ in range(32)])) == {60}
    assert await points.balance(member) == 60
    await points.assert_balanced()


@pytest.mark.covers("P8 PointsInternalService.Debit")
async def test_32_orders_at_once_never_spend_more_than_there_is(points: Points, platform: Platform) -> None:
    member = await platform.member()
    for _ in range(50):
        await points.earn(member, 10)
    calls = [reason_or_answer(points.debit(uuid4(), member, 100)) for _ in range(32)]
    outcomes = await asyncio.gather(*calls)
    assert sorted(outcome for outcome in outcomes if isinstance(outcome, int)) == [0, 100, 200, 300, 400]
    assert [outcome for outcome in outcomes if isinstance(outcome, str)] == ["INSUFFICIENT_POINTS"] * 27
    assert await points.balance(member) == 0
    await points.assert_balanced()


@pytest.mark.covers("P8 PointsInternalService.Debit")
async def test_too_few_points_are_refused_and_nothing_is_kept(points: Points, platform: Platform) -> None:
    member, order = await platform.member(), uuid4()
    assert (await refusal(points.debit(order, member, 1)))[2] == {"required": "1", "available": "0"}
    await points.earn(member, 60)
    assert await refusal(points.debit(order, member, 61)) == (
        "INSUFFICIENT_POINTS",
        grpc.StatusCode.FAILED_PRECONDITION,
        {"required": "61", "available": "60"},
    )
    assert await points.rows("SELECT 1 FROM debits WHERE order_id = %(id)s", id=order) == []
    assert await points.lots(member) == [(60, 60)]
    assert len((await points.entries(member)).entries) == 1
    await points.earn(member, 1)
    assert await points.debit(order, member, 61) == 0  # judged anew


@pytest.mark.covers("P8 PointsInternalService.Debit")
async def test_the_oldest_lots_are_spent_first_and_an_undo_fills_them_again(
    points: Points, platform: Platform
) -> None:
    member, first, second = await platform.member(), uuid4(), uuid4()
    for number in (10, 20, 30):
        await points.earn(member, number)
    await points.debit(first, member, 15)
    assert await points.lots(member) == [(10, 0), (20, 15), (30, 30)]
    await points.debit(second, member, 20)
    assert await points.lots(member) == [(10, 0), (20, 0), (30, 25)]
    await points.undo(first, member)
    assert await points.lots(member) == [(10, 10), (20, 5), (30, 25)]
    await points.undo(second, member)
    assert await points.lots(member) == [(10, 10), (20, 20), (30, 30)]
    await points.assert_balanced()


@pytest.mark.covers("P8 PointsInternalService.UndoDebit")
async def test_an_undo_gives_back_once_and_says_why(points: Points, platform: Platform) -> None:
    member, order = await platform.member(), uuid4()
    await points.earn(member, 100)
    await points.debit(order, member, 30)
    await asyncio.gather(*[points.undo(order, member) for _ in range(16)])
    assert await points.balance(member) == 100
    undone = (await points.entries(member, kind=SPEND_UNDONE)).entries
    assert [(e.delta, e.balance_after, e.order_id) for e in undone] == [(30, 100, str(order))]
    await points.assert_balanced()


@pytest.mark.covers("P8 PointsInternalService.UndoDebit")
async def test_an_undone_order_is_never_debited_again(points: Points, platform: Platform) -> None:
    member, order, unknown = await platform.member(), uuid4(), uuid4()
    await points.earn(member, 100)
    await points.debit(order, member, 30)
    await points.undo(order, member)
    await points.undo(unknown, member)
    await points.undo(unknown, member)
    for late in (order, unknown):
        assert await refusal(points.debit(late, member, 30)) == (
            "ORDER_UNDONE",
            grpc.StatusCode.FAILED_PRECONDITION,
            {"order_id": str(late)},
        )
    assert await points.balance(member) == 100


async def test_an_order_of_a_member_without_points_can_be_undone(points: Points, platform: Platform) -> None:
    member, order = await platform.member(), uuid4()
    await points.undo(order, member)
    await points.undo(order, member)
    assert await reason(points.debit(order, member, 1)) == "ORDER_UNDONE"
    assert await points.balance(member) == 0


@pytest.mark.covers("P8 PointsInternalService.UndoDebit")
async def test_a_debit_and_its_undo_at_once_end_undone(points: Points, platform: Platform) -> None:
    member = await platform.member()
    await points.earn(member, 100)
    for _ in range(20):
        order = uuid4()
        tried = reason_or_answer(points.debit(order, member, 100))
        answer, _ = await asyncio.gather(tried, points.undo(order, member))
        assert answer in {0, "ORDER_UNDONE"}
        assert await points.balance(member) == 100
        assert await reason(points.debit(order, member, 100)) == "ORDER_UNDONE"
    await points.assert_balanced()


async def test_an_order_with_other_content_is_refused(points: Points, platform: Platform) -> None:
    member, other, order = await platform.member(), await platform.member(), uuid4()
    await points.earn(member, 100)
    await points.earn(other, 100)
    await points.debit(order, member, 30)
    conflict = ("DEBIT_CONFLICT", grpc.StatusCode.ALREADY_EXISTS, {"order_id": str(order)})
    assert await refusal(points.debit(order, member, 31)) == conflict
    assert await refusal(points.debit(order, other, 30)) == conflict
    assert await refusal(points.undo(order, other)) == conflict
    assert (await points.balance(member), await points.balance(other)) == (70, 100)
    await points.undo(order, member)
    assert await refusal(points.debit(order, other, 30)) == conflict
    assert await refusal(points.undo(order, other)) == conflict


async def test_an_order_of_two_members_at_once_is_debited_to_one(points: Points, platform: Platform) -> None:
    members, order = [await platform.member() for _ in range(2)], uuid4()
    for member in members:
        await points.earn(member, 100)
    calls = [reason_or_answer(points.debit(order, members[n % 2], 30)) for n in range(20)]
    outcomes = await asyncio.gather(*calls)
    assert sorted(map(str, outcomes)) == ["70"] * 10 + ["DEBIT_CONFLICT"] * 10
    assert sorted([await points.balance(member) for member in members]) == [70, 100]


@pytest.mark.parametrize(
    "fields", [{"order_id": "1"}, {"order_id": ""}, {"member_id": "1"}, {"points": 0}, {"points": -5}]
)
async def test_a_malformed_debit_is_refused(points: Points, fields: dict[str, Any]) -> None:
    stub = points_pb2_grpc.PointsInternalServiceStub(points.channel)
    wanted: dict[str, Any] = {"order_id": str(uuid4()), "member_id": str(uuid4()), "points": 5}
    request = points_pb2.DebitRequest(**(wanted | fields))
    assert await reason(stub.Debit(request, metadata=bearer(points.vouchers))) == "VALIDATION_FAILED"


async def test_only_vouchers_spends(points: Points, platform: Platform) -> None:
    stub = points_pb2_grpc.PointsInternalServiceStub(points.channel)
    debit = points_pb2.DebitRequest(order_id=str(uuid4()), member_id=str(UUID(int=1)), points=1)
    undo = points_pb2.UndoDebitRequest(order_id=str(uuid4()), member_id=str(UUID(int=1)))
    promos = bearer(await platform.service_token("promos"))
    assert await reason(stub.Debit(debit, metadata=promos)) == "ROLE_NOT_ALLOWED"
    assert await reason(stub.UndoDebit(undo, metadata=promos)) == "ROLE_NOT_ALLOWED"
    admin = bearer(await platform.admin())
    assert await reason(stub.Debit(debit, metadata=admin)) == "TOKEN_NOT_VALID"
    assert await reason(stub.UndoDebit(undo, metadata=admin)) == "TOKEN_NOT_VALID"
