"""What staff see of a member's points."""

from __future__ import annotations

from uuid import uuid4

import pytest
from google.protobuf.message import Message
from scrip.points.v1 import admin_pb2, points_pb2, points_pb2_grpc

from services.points.adjustments.tests.test_adjustments import heard_member
from services.points.tests.manager import Manager
from services.points.tests.own_service import own_service
from services.points.tests.returns import refund
from services.points.tests.support import Points
from tests.inprocess import Member, Platform, bearer, reason

DEBT, NEGATIVE = admin_pb2.REFUND_POLICY_DEBT, admin_pb2.REFUND_POLICY_NEGATIVE_BALANCE


@pytest.fixture
async def cashier(points: Points, platform: Platform) -> Manager:
    """A cashier, who may look and not touch."""
    return Manager(points, await platform.token("cashier"))


async def looked_up(staff: Manager, member_id: object) -> admin_pb2.GetMemberPointsResponse:
    """Returns a member's points as staff see them."""
    request = admin_pb2.GetMemberPointsRequest(member_id=str(member_id))
    reply: admin_pb2.GetMemberPointsResponse = await staff.stub.GetMemberPoints(
        request, metadata=bearer(staff.token)
    )
    return reply


@pytest.mark.covers("P4 PointsAdminService.GetMemberPoints")
async def test_staff_see_balance_debt_and_what_refunds_do(
    points: Points, cashier: Manager, platform: Platform
) -> None:
    member = await heard_member(points, platform)
    none = admin_pb2.GetMemberPointsResponse(refund_policy=DEBT)
    assert await looked_up(cashier, member.id) == none
    assert await looked_up(cashier, uuid4()) == none
    bought = await points.earn(member, 30)
    assert (await looked_up(cashier, member.id)).balance == 30
    await points.debit(uuid4(), member, 20)
    await refund(points, bought.purchase.id)
    seen = await looked_up(cashier, member.id)
    assert (seen.balance, seen.debt, seen.refund_policy, seen.balance_floor) == (0, 20, DEBT, 0)
    await points.send_event(member.id, 3, "CLOSED")
    seen = await looked_up(cashier, member.id)
    assert (seen.balance, seen.debt, seen.closed) == (0, 0, True)


async def test_staff_see_how_far_below_zero_a_refund_may_go(platform: Platform) -> None:
    policy = {"refund_policy": "negative_balance", "balance_floor": -15}
    settings = platform.settings["points"]
    changed = type(settings)(**(settings.model_dump() | policy))
    async with own_service(
        platform, refund_policy=changed.refund_policy, balance_floor=changed.balance_floor
    ) as own:
        member, cashier = await platform.member(), Manager(own, await platform.token("cashier"))
        bought = await own.earn(member, 30)
        await own.debit(uuid4(), member, 20)
        await refund(own, bought.purchase.id)
        seen = await looked_up(cashier, member.id)
        assert (seen.balance, seen.debt) == (-15, 0)
        assert (seen.refund_policy, seen.balance_floor) == (NEGATIVE, -15)
        assert not seen.closed
        await own.assert_balanced()


@pytest.mark.covers("P4 PointsAdminService.ListMemberEntries", "P4 PointsAdminService.ListMemberPurchases")
async def test_staff_see_the_same_lists_as_the_member(
    points: Points, cashier: Manager, platform: Platform
) -> None:
    member, other = await heard_member(points, platform), await heard_member(points, platform)
    for number in range(1, 6):
        await points.earn(member, number)
        await points.debit(uuid4(), member, 1)
    await points.earn(other, 100)
    kind, metadata = points_pb2.ENTRY_KIND_SPEND, bearer(cashier.token)
    entries = await cashier.stub.ListMemberEntries(
        admin_pb2.ListMemberEntriesRequest(member_id=str(member.id), kind=kind, page_size=3),
        metadata=metadata,
    )
    assert list(entries.entries) == list((await points.entries(member, kind=kind, page_size=3)).entries)
    rest = await cashier.stub.ListMemberEntries(
        admin_pb2.ListMemberEntriesRequest(
            member_id=str(member.id), kind=kind, page_size=3, page_token=entries.next_page_token
        ),
        metadata=metadata,
    )
    assert [entry.sequence for entry in rest.entries] == [4, 2]
    purchases = await cashier.stub.ListMemberPurchases(
        admin_pb2.ListMemberPurchasesRequest(member_id=str(member.id)), metadata=metadata
    )
    assert list(purchases.purchases) == list((await points.purchases(member)).purchases)
    of_other = admin_pb2.ListMemberEntriesRequest(
        member_id=str(other.id), kind=kind, page_size=3, page_token=entries.next_page_token
    )
    assert await reason(cashier.stub.ListMemberEntries(of_other, metadata=metadata)) == "PAGE_TOKEN_NOT_VALID"


@pytest.mark.covers("P7 PointsAdminService.ListMemberExpiries")
async def test_staff_see_what_expires(platform: Platform) -> None:
    async with own_service(platform, expire_months=1) as own:
        member, cashier = await platform.member(), Manager(own, await platform.token("cashier"))
        await own.earn(member, 5)
        stub = points_pb2_grpc.PointsServiceStub(own.channel)
        mine = await stub.ListMyExpiries(points_pb2.ListMyExpiriesRequest(), metadata=bearer(member.token))
        theirs = await cashier.stub.ListMemberExpiries(
            admin_pb2.ListMemberExpiriesRequest(member_id=str(member.id)), metadata=bearer(cashier.token)
        )
        assert list(theirs.expiries) == list(mine.expiries)
        assert [expiry.points for expiry in theirs.expiries] == [5]


async def test_members_and_tills_do_not_look_at_members(points: Points, platform: Platform) -> None:
    member: Member = await platform.member()
    for token in (member.token, points.till):
        stub = Manager(points, token).stub
        calls: list[tuple[object, Message]] = [
            (stub.GetMemberPoints, admin_pb2.GetMemberPointsRequest(member_id=str(member.id))),
            (stub.ListMemberEntries, admin_pb2.ListMemberEntriesRequest(member_id=str(member.id))),
            (stub.ListMemberExpiries, admin_pb2.ListMemberExpiriesRequest(member_id=str(member.id))),
            (stub.ListMemberPurchases, admin_pb2.ListMemberPurchasesRequest(member_id=str(member.id))),
        ]
        for call, request in calls:
            assert await reason(call(request, metadata=bearer(token))) == "ROLE_NOT_ALLOWED"  # type: ignore[operator]


async def test_an_id_that_is_none_is_refused(cashier: Manager) -> None:
    assert await reason(looked_up(cashier, "me")) == "VALIDATION_FAILED"
    for request, call in (
        (admin_pb2.ListMemberEntriesRequest(), cashier.stub.ListMemberEntries),
        (admin_pb2.ListMemberExpiriesRequest(), cashier.stub.ListMemberExpiries),
        (admin_pb2.ListMemberPurchasesRequest(), cashier.stub.ListMemberPurchases),
    ):
        assert await reason(call(request, metadata=bearer(cashier.token))) == "VALIDATION_FAILED"
