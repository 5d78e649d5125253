"""Debits of many orders in one call: each is debited or refused as if it had come alone."""

from __future__ import annotations

import asyncio
import random
from uuid import UUID, uuid4

import pytest
from scrip.points.internal.v1 import points_pb2, points_pb2_grpc

from services.points.tests.support import Points
from tests.inprocess import Member, Platform, bearer, reason


@pytest.mark.covers("P8 PointsInternalService.BatchDebit")
async def test_orders_of_one_member_in_a_batch_see_each_other(points: Points, platform: Platform) -> None:
    member, other = await platform.member(), await platform.member()
    await points.earn(member, 100)
    await points.earn(other, 7)
    wanted = [(member, 60), (member, 50), (other, 7), (member, 40), (member, 1), (other, 1)]
    orders = [(uuid4(), who, number) for who, number in wanted]
    refused = "INSUFFICIENT_POINTS"
    assert await points.debit_all(*orders) == [40, refused, 0, 0, refused, refused]
    spent = [(e.delta, e.balance_after) for e in (await points.entries(member)).entries]
    assert spent == [(-40, 0), (-60, 40), (100, 100)]
    assert await points.rows("SELECT 1 FROM debits WHERE order_id = %(id)s", id=orders[1][0]) == []
    await points.earn(member, 50)
    assert await points.debit_all(*orders[:2]) == [40, 0], "the first again, and the refused is judged anew"
    assert await points.balance(member) == 0
    await points.assert_balanced()


@pytest.mark.covers("P8 PointsInternalService.BatchDebit")
async def test_each_order_of_a_batch_gets_the_answer_that_it_would_get_alone(
    points: Points, platform: Platform
) -> None:
    member, other, stranger = [await platform.member() for _ in range(3)]
    await points.earn(member, 100)
    await points.earn(other, 100)
    debited, undone, twice, contested, unknown = [uuid4() for _ in range(5)]
    await points.debit(debited, member, 10)
    await points.undo(undone, member)
    assert await points.debit_all(
        (debited, member, 10),
        (debited, member, 11),
        (debited, other, 10),
        (undone, member, 5),
        (twice, member, 20),
        (twice, member, 20),
        (twice, member, 21),
        (contested, stranger, 1),
        (contested, other, 3),
        (contested, stranger, 1),
        (unknown, stranger, 1),
    ) == [
        90,
        "DEBIT_CONFLICT",
        "DEBIT_CONFLICT",
        "ORDER_UNDONE",
        70,
        70,
        "DEBIT_CONFLICT",
        "INSUFFICIENT_POINTS",
        97,
        "DEBIT_CONFLICT",
        "INSUFFICIENT_POINTS",
    ]
    assert [await points.balance(one) for one in (member, other)] == [70, 97]
    await points.assert_balanced()


@pytest.mark.covers("P8 PointsInternalService.BatchDebit")
async def test_each_order_has_its_own_stretch_of_the_oldest_lots_and_gives_it_back(
    points: Points, platform: Platform
) -> None:
    member, first, second, third = await platform.member(), uuid4(), uuid4(), uuid4()
    for number in (10, 20, 30):
        await points.earn(member, number)
    orders = [(first, member, 10), (second, member, 15), (third, member, 10)]
    assert await points.debit_all(*orders) == [50, 35, 25]
    assert await points.lots(member) == [(10, 0), (20, 0), (30, 25)]
    taken = "SELECT lot_id, points FROM debit_lots WHERE order_id = %(id)s ORDER BY lot_id"
    assert [await points.rows(taken, id=order) for order in (first, second, third)] == [
        [(1, 10)],
        [(2, 15)],
        [(2, 5), (3, 5)],
    ]
    await points.undo(second, member)
    assert await points.lots(member) == [(10, 0), (20, 15), (30, 25)]
    await points.undo(third, member)
    await points.undo(first, member)
    assert await points.lots(member) == [(10, 10), (20, 20), (30, 30)]
    await points.assert_balanced()


async def test_batches_that_share_orders_and_members_debit_each_once(
    points: Points, platform: Platform
) -> None:
    members = [await platform.member() for _ in range(4)]
    for member in members:
        await points.earn(member, 50)
    orders: list[tuple[UUID, Member, int]] = [(uuid4(), members[n % 4], 10) for n in range(40)]
    deadlocks = platform.deadlocks()
    batches = [random.sample(orders, 30) for _ in range(8)]  # any will do
    undone = [points.undo(order, member) for order, member, _ in orders[:4]]
    await asyncio.gather(*[points.debit_all(*batch) for batch in batches], *undone)
    assert platform.deadlocks() == deadlocks
    for order, member, _ in orders[:4]:
        assert await reason(points.debit(order, member, 10)) == "ORDER_UNDONE"
    await points.debit_all(*orders)
    assert [await points.balance(member) for member in members] == [0] * 4
    await points.assert_balanced()


async def test_a_batch_is_for_vouchers_and_has_a_size(points: Points, platform: Platform) -> None:
    stub = points_pb2_grpc.PointsInternalServiceStub(points.channel)
    order = points_pb2.DebitRequest(order_id=str(uuid4()), member_id=str(uuid4()), points=1)
    promos = bearer(await platform.service_token("promos"))
    request = points_pb2.BatchDebitRequest(orders=[order])
    assert await reason(stub.BatchDebit(request, metadata=promos)) == "ROLE_NOT_ALLOWED"
    for wrong in ([], [order] * 201, [points_pb2.DebitRequest()]):
        request = points_pb2.BatchDebitRequest(orders=wrong)
        assert await reason(stub.BatchDebit(request, metadata=bearer(points.vouchers))) == "VALIDATION_FAILED"
