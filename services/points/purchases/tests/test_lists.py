"""Lists of purchases: how they are sorted, counted, filtered across members, and handed out as a file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from scrip.points.v1 import admin_pb2, admin_pb2_grpc

from services.common.ids import new_id, utc_now
from services.common.paging import Page
from services.points.periods import Period
from services.points.tests.manager import csv_rows, execute, faulty_fields
from services.points.tests.own_service import OwnService, own_service
from services.points.tests.returns import claim_mine, unclaimed
from services.points.tests.support import Points, item, receipt, sold
from tests.inprocess import Member, Platform, bearer, reason

DAY = timedelta(days=1)
SOLD_DAYS_AGO = (3, 9, 1, 5, 5)
"""When each of five receipts was sold, in the order in which they come in."""


@pytest.fixture(scope="module")
async def own(platform: Platform) -> AsyncIterator[OwnService]:
    """Points with purchases of these tests alone."""
    async with own_service(platform) as service:
        yield service


async def bought(points: Points, member: Member | None, *days_ago: int, **fields: Any) -> list[str]:
    """Returns the ids of purchases that come in one after the other, sold so many days ago."""
    made = []
    for days in days_ago:
        sold_at = sold(utc_now() - days * DAY)
        told = await points.record(receipt(member.code if member else "", sold_at=sold_at, **fields))
        made.append(told.purchase.id)
    return made


async def mine(points: Points, member: Member, **fields: Any) -> list[str]:
    """Returns the ids on the first page of what the member sees."""
    return [one.id for one in (await points.purchases(member, **fields)).purchases]


@pytest.mark.covers("P4 PointsService.ListMyPurchases", "P4 PointsAdminService.ListMemberPurchases")
async def test_a_members_purchases_are_sorted_by_the_time_of_sale_or_as_they_came_in(
    points: Points, platform: Platform
) -> None:
    member = await platform.member()
    made = await bought(points, member, *SOLD_DAYS_AGO)
    by_sale = [made[1], made[3], made[4], made[0], made[2]]
    stub = admin_pb2_grpc.PointsAdminServiceStub(points.channel)
    for order_by, expected in {
        "": by_sale[::-1],
        "sold_at": by_sale,
        "sold_at desc": by_sale[::-1],
        "recorded_at": made,
        "recorded_at desc": made[::-1],
    }.items():
        assert await mine(points, member, order_by=order_by) == expected
        request = admin_pb2.ListMemberPurchasesRequest(member_id=str(member.id), order_by=order_by)
        seen = await stub.ListMemberPurchases(request, metadata=bearer(await platform.token("cashier")))
        assert [one.id for one in seen.purchases] == expected
    for order_by in ("id", "sold_at asc", "sold_at  desc", "sold_at desc, id"):
        assert await faulty_fields(points.purchases(member, order_by=order_by)) == ["order_by"]


async def test_pages_of_every_order_and_filter_add_up(points: Points, platform: Platform) -> None:
    member = await platform.member()
    await bought(points, member, *SOLD_DAYS_AGO)
    period = {"sold_from": sold(utc_now() - 8 * DAY), "sold_until": sold(utc_now() - 2 * DAY)}
    for order_by in ("sold_at", "sold_at desc", "recorded_at", "recorded_at desc"):
        for filters in ({}, period):
            whole = await mine(points, member, order_by=order_by, **filters)
            assert len(whole) == (3 if filters else 5)
            found: list[str] = []
            token = ""
            while True:
                page = await points.purchases(
                    member, order_by=order_by, page_size=1, page_token=token, **filters
                )
                found += [one.id for one in page.purchases]
                if not (token := page.next_page_token):
                    break
            assert found == whole


async def test_a_token_of_another_order_or_of_an_earlier_version_is_refused(
    points: Points, platform: Platform
) -> None:
    member = await platform.member()
    made = await bought(points, member, 1, 2)
    page = await points.purchases(member, page_size=1, order_by="recorded_at")
    for order_by in ("", "sold_at", "recorded_at desc"):
        other = points.purchases(member, order_by=order_by, page_token=page.next_page_token)
        assert await reason(other) == "PAGE_TOKEN_NOT_VALID"
    _, old = Page(1, "", "ListMyPurchasesRequest", member.id, Period()).cut(made, str)
    assert await reason(points.purchases(member, page_token=old)) == "PAGE_TOKEN_NOT_VALID"


async def test_a_total_is_there_when_it_is_asked_for(points: Points, platform: Platform) -> None:
    member = await platform.member()
    await bought(points, member, *SOLD_DAYS_AGO)
    assert not (await points.purchases(member)).HasField("total")
    counted = await points.purchases(member, page_size=1, with_total=True)
    assert (len(counted.purchases), counted.total.count, counted.total.more) == (1, 5, False)
    since = sold(utc_now() - 4 * DAY)
    assert (await points.purchases(member, sold_from=since, with_total=True)).total.count == 2
    entries = await points.entries(member, page_size=2, with_total=True)
    assert (len(entries.entries), entries.total.count) == (2, 5)


# Purchases of all members and of none.


class Staff:
    """A manager who lists purchases of all."""

    def __init__(self, points: Points, token: str) -> None:
        self._stub: Any = admin_pb2_grpc.PointsAdminServiceStub(points.channel)
        self._metadata = bearer(token)

    async def page(self, **fields: Any) -> admin_pb2.ListPurchasesResponse:
        """Returns a page."""
        request = admin_pb2.ListPurchasesRequest(**fields)
        reply: admin_pb2.ListPurchasesResponse = await self._stub.ListPurchases(
            request, metadata=self._metadata
        )
        return reply

    async def ids(self, **fields: Any) -> list[str]:
        """Returns the ids on a page."""
        return [one.purchase.id for one in (await self.page(**fields)).purchases]

    def export(self, **fields: Any) -> Any:
        """Returns the file as a stream."""
        return self._stub.ExportPurchases(admin_pb2.ExportPurchasesRequest(**fields), metadata=self._metadata)

    async def rows(self, **fields: Any) -> list[dict[str, str]]:
        """Returns the rows of the file."""
        return csv_rows(b"".join([piece.data async for piece in self.export(**fields)]))


@pytest.fixture
async def staff_member(own: OwnService, platform: Platform) -> Staff:
    """A manager, when nothing is recorded yet."""
    await execute(own, "TRUNCATE purchases, purchase_items, receipts, unclaimed_purchases")
    return Staff(own, await platform.token("manager"))


@pytest.mark.covers("P4 PointsAdminService.ListPurchases")
async def test_staff_see_whose_each_purchase_is_and_who_recorded_it(
    own: OwnService, platform: Platform, staff_member: Staff
) -> None:
    member = await platform.member()
    told = await own.record(receipt(member.code, item(2_500)))
    nobodys = await unclaimed(own, item(4_000))
    unsold, sale = (await staff_member.page()).purchases
    [(client_id,)] = await own.rows("SELECT DISTINCT client_id FROM purchases")
    assert (sale.purchase, sale.member_id, sale.client_id) == (
        told.purchase,
        str(member.id),
        str(client_id),
    )
    assert (unsold.purchase, unsold.member_id) == (nobodys.purchase, "")


@pytest.mark.covers("P4 PointsAdminService.ListPurchases")
async def test_purchases_of_all_are_sorted_filtered_and_counted(
    own: OwnService, platform: Platform, staff_member: Staff
) -> None:
    ada, grace, other_till = await platform.member(), await platform.member(), await platform.till()
    first = await bought(own, ada, 3, 9)
    second = await bought(own, grace, 1, 5, till_number="2")
    nobodys = await bought(own, None, 7)
    foreign = receipt(ada.code, sold_at=sold(utc_now() - 2 * DAY), till_number="2")
    others = [(await own.record(foreign, token=other_till)).purchase.id]
    every = first + second + nobodys + others
    by_sale = [first[1], *nobodys, second[1], first[0], *others, second[0]]
    assert await staff_member.ids() == every[::-1], "the last recorded first"
    assert await staff_member.ids(order_by="recorded_at") == every
    assert await staff_member.ids(order_by="sold_at") == by_sale
    assert await staff_member.ids(order_by="sold_at desc") == by_sale[::-1]
    clients = dict(await own.rows("SELECT id::text, client_id::text FROM purchases"))
    mine, theirs = clients[first[0]], clients[others[0]]
    today = sold(utc_now() - DAY)
    for filters, expected in (
        ({"member_id": str(ada.id)}, [*first, *others]),
        ({"client_id": theirs, "recorded_from": today}, others),
        ({"client_id": mine, "till_number": "2", "recorded_from": today}, second),
        ({"client_id": theirs, "till_number": "3", "recorded_from": today}, []),
        ({"client_id": theirs, "member_id": str(ada.id)}, others),
        ({"unclaimed": True}, nobodys),
        ({"sold_from": sold(utc_now() - 6 * DAY)}, [first[0], *second, *others]),
        ({"sold_until": sold(utc_now() - 6 * DAY)}, [first[1], *nobodys]),
        (
            {"sold_from": sold(utc_now() - 8 * DAY), "sold_until": sold(utc_now() - 4 * DAY)},
            [second[1], *nobodys],
        ),
        ({"recorded_from": sold(utc_now() - DAY)}, every),
        ({"recorded_until": sold(utc_now() - DAY)}, []),
    ):
        page = await staff_member.page(order_by="recorded_at", with_total=True, **filters)
        assert [one.purchase.id for one in page.purchases] == expected, filters
        assert page.total.count == len(expected)
        in_sales_order = await staff_member.ids(order_by="sold_at", **filters)
        assert in_sales_order == [one for one in by_sale if one in expected], filters
        assert [row["id"] for row in await staff_member.rows(**filters)] == expected[::-1], filters
    await claim_of(own, ada, nobodys[0])
    assert await staff_member.ids(unclaimed=True) == []
    assert nobodys[0] in await staff_member.ids(member_id=str(ada.id))


async def claim_of(own: OwnService, member: Member, purchase_id: str) -> None:
    """Has a member claim a purchase."""
    [(code,)] = await own.rows(
        "SELECT claim_code FROM unclaimed_purchases WHERE purchase_id = %(id)s::uuid", id=purchase_id
    )
    await claim_mine(own, member, code)


async def test_a_moment_bounds_what_was_recorded_exactly(
    own: OwnService, platform: Platform, staff_member: Staff
) -> None:
    await bought(own, await platform.member(), 1, 2, 3)
    first, middle, last = (
        one.purchase for one in (await staff_member.page(order_by="recorded_at")).purchases
    )
    since = {"recorded_from": middle.recorded_at, "order_by": "recorded_at"}
    assert await staff_member.ids(**since) == [middle.id, last.id], "from is included"
    assert await staff_member.ids(recorded_until=middle.recorded_at) == [first.id], "until is not"


async def test_wrong_filters_are_named(staff_member: Staff) -> None:
    now, before = sold(utc_now()), sold(utc_now() - DAY)
    assert await faulty_fields(staff_member.page(sold_from=now, sold_until=before)) == ["sold_until"]
    late = staff_member.page(recorded_from=now, recorded_until=before)
    assert await faulty_fields(late) == ["recorded_until"]
    assert await faulty_fields(staff_member.page(member_id="x")) == ["member_id"]
    assert await reason(staff_member.page(till_number="2")) == "VALIDATION_FAILED"
    without_a_period = {"client_id": str(new_id()), "sold_until": now}
    assert await reason(staff_member.page(**without_a_period)) == "VALIDATION_FAILED"
    assert await reason(staff_member.rows(**without_a_period)) == "VALIDATION_FAILED"
    assert await reason(staff_member.rows(till_number="2")) == "VALIDATION_FAILED"
    assert await faulty_fields(staff_member.rows(sold_from=now, sold_until=before)) == ["sold_until"]


@pytest.mark.parametrize("role", ["cashier", "member", "till"])
async def test_only_managers_and_admins_see_purchases_of_all(
    own: OwnService, platform: Platform, role: str
) -> None:
    somebody = Staff(own, await platform.token(role))
    assert await reason(somebody.page()) == "ROLE_NOT_ALLOWED"
    assert await reason(somebody.rows()) == "ROLE_NOT_ALLOWED"


@pytest.mark.covers("P4 PointsAdminService.ExportPurchases")
async def test_the_file_has_every_purchase_and_no_formula(
    own: OwnService, platform: Platform, staff_member: Staff
) -> None:
    member = await platform.member()
    told = await own.record(receipt(member.code, item(2_500), receipt_number="=1+1", till_number="T 1"))
    await unclaimed(own, item(4_000))
    nobodys, sale = await staff_member.rows()
    [(client_id,)] = await own.rows("SELECT DISTINCT client_id::text FROM purchases")
    moments = {name: sale.pop(name) for name in ("sold_at", "recorded_at")}
    assert sale == {
        "id": told.purchase.id,
        "receipt_number": "'=1+1",
        "till_number": "T 1",
        "client_id": client_id,
        "member_id": str(member.id),
        "currency_code": "USD",
        "total_minor": "2500",
        "eligible_minor": "2500",
        "points": "2",
        "bonus_points": "0",
    }
    for name, text in moments.items():
        assert text.endswith("Z")
        assert datetime.fromisoformat(text) == getattr(told.purchase, name).ToDatetime(tzinfo=UTC)
    assert nobodys["member_id"] == ""


@pytest.mark.covers("P4 PointsAdminService.ExportPurchases")
async def test_a_long_file_comes_in_pieces_while_tills_go_on(
    own: OwnService, platform: Platform, staff_member: Staff
) -> None:
    """Between its pieces it holds no connection and no transaction: many wait unread, and a till records."""
    member = await platform.member()
    await own.record(receipt(member.code))
    await execute(
        own,
        """
        INSERT INTO purchases (member_id, id, number, receipt_number, till_number, sold_at, recorded_at,
          currency_code, total_minor, eligible_minor, points, earn_rule, balance_after, client_id,
          rule_set_id)
        SELECT member_id, uuidv7(), i, 'L-' || i, '', sold_at, now(), currency_code, total_minor,
          eligible_minor, points, earn_rule, i, client_id, rule_set_id
        FROM purchases, generate_series(2, 5000) AS i
        """,
    )
    streams = [staff_member.export() for _ in range(20)]
    for stream in streams:
        assert (await stream.read()).content_type == "text/csv; charset=utf-8"
    await asyncio.gather(*(own.record(receipt(member.code)) for _ in range(20)))
    for stream in streams:
        stream.cancel()
    whole = await staff_member.rows(recorded_until=sold(utc_now()))
    assert len(whole) == len({row["id"] for row in whole}) == 5_020
