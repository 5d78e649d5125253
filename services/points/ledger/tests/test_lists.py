"""Filters of lists, and that no page reads past what it shows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from google.protobuf import timestamp_pb2
from psycopg import sql
from psycopg.rows import tuple_row
from scrip.points.v1 import points_pb2

from services.common.db import Connection, Database, fetch_values
from services.common.ids import new_id, utc_now
from services.common.lists import Listing
from services.common.paging import Page
from services.points.adjustments.tests.test_adjustments import heard_member
from services.points.ledger import EntryKind
from services.points.ledger.queries import ENTRIES, entry_filters
from services.points.periods import Period
from services.points.purchases.queries import PURCHASES, period_filters
from services.points.tests.manager import Manager, execute, faulty_fields
from services.points.tests.own_service import OwnService, own_service
from services.points.tests.support import Points, receipt, sold
from tests.inprocess import Member, Platform, reason

START = datetime(2026, 1, 1, tzinfo=UTC)
MANY = 20_000
DAYS = 200
"""The entries of the long history are spread evenly over so many days."""


def at(moment: datetime) -> timestamp_pb2.Timestamp:
    """Returns a moment as protobuf has it."""
    return sold(moment)


@pytest.fixture
async def member(points: Points, platform: Platform) -> Member:
    """A member with ten entries, one each day from START, and ten purchases, one each day until yesterday."""
    made, now = await heard_member(points, platform), utc_now()
    for number in range(1, 11):
        sold_at = sold(now - timedelta(days=11 - number))
        await points.record(receipt(made.code, sold_at=sold_at, receipt_number=f"{made.code}-{number}"))
    await execute(
        points,
        "UPDATE ledger_entries SET occurred_at = %(start)s + (sequence - 1) * interval '1 day'"
        " WHERE member_id = %(id)s",
        start=START,
        id=made.id,
    )
    return made


async def entry_numbers(points: Points, member: Member, **fields: Any) -> list[int]:
    """Returns the numbers of the entries found on the first page."""
    return [entry.sequence for entry in (await points.entries(member, **fields)).entries]


async def receipt_numbers(points: Points, member: Member, **fields: Any) -> list[int]:
    """Returns the numbers of the receipts found on the first page."""
    found = (await points.purchases(member, **fields)).purchases
    return [int(purchase.receipt_number.rpartition("-")[2]) for purchase in found]


async def test_entries_are_filtered_by_time(points: Points, member: Member) -> None:
    third, sixth = START + timedelta(days=2), START + timedelta(days=5)
    assert await entry_numbers(points, member, occurred_from=at(third)) == list(range(10, 2, -1))
    assert await entry_numbers(points, member, occurred_until=at(sixth)) == [5, 4, 3, 2, 1]
    assert await entry_numbers(points, member, occurred_until=at(sixth), occurred_from=at(third)) == [5, 4, 3]
    moment = timedelta(microseconds=1)
    only = {"occurred_from": at(third), "occurred_until": at(third + moment)}
    assert await entry_numbers(points, member, **only) == [3], "from is included"
    before = {"occurred_from": at(third - moment), "occurred_until": at(third)}
    assert await entry_numbers(points, member, **before) == [], "until is not"


@pytest.mark.covers("P4 PointsService.ListMyEntries")
async def test_entries_are_filtered_by_time_and_kind(
    points: Points, member: Member, platform: Platform
) -> None:
    await points.debit(uuid4(), member, 1)
    await Manager(points, await platform.token("manager")).adjust(member.id, 5)
    now = utc_now()
    spent, adjusted = points_pb2.ENTRY_KIND_SPEND, points_pb2.ENTRY_KIND_ADJUST
    since = {"occurred_from": at(now - timedelta(hours=1))}
    assert await entry_numbers(points, member, **since) == [12, 11]
    assert await entry_numbers(points, member, kind=spent, **since) == [11]
    assert await entry_numbers(points, member, kind=adjusted, **since) == [12]
    assert (
        await entry_numbers(points, member, kind=spent, occurred_until=at(START + timedelta(days=20))) == []
    )
    earned = points_pb2.ENTRY_KIND_EARN
    assert await entry_numbers(points, member, kind=earned, page_size=2, **since) == []


@pytest.mark.covers("P4 PointsService.ListMyPurchases")
async def test_purchases_are_filtered_by_the_time_of_sale(points: Points, member: Member) -> None:
    now = utc_now()
    third, sixth = now - timedelta(days=8, hours=1), now - timedelta(days=5, hours=1)
    assert await receipt_numbers(points, member, sold_from=at(third)) == list(range(10, 2, -1))
    assert await receipt_numbers(points, member, sold_until=at(sixth)) == [5, 4, 3, 2, 1]
    assert await receipt_numbers(points, member, sold_until=at(sixth), sold_from=at(third)) == [5, 4, 3]
    [last] = (await points.purchases(member, page_size=1)).purchases
    exactly = last.sold_at.ToDatetime(tzinfo=UTC)
    moment = timedelta(microseconds=1)
    assert await receipt_numbers(points, member, sold_from=at(exactly)) == [10]
    assert await receipt_numbers(points, member, sold_from=at(exactly + moment)) == []
    assert len(await receipt_numbers(points, member, sold_until=at(exactly))) == 9


async def test_a_sale_of_the_utmost_past_and_one_ahead_are_found(points: Points, platform: Platform) -> None:
    member, now = await heard_member(points, platform), utc_now()
    old, ahead = now - timedelta(days=29, hours=23), now + timedelta(seconds=110)
    await points.record(receipt(member.code, sold_at=sold(old), receipt_number="R-1", till_number="utmost"))
    await points.record(receipt(member.code, sold_at=sold(ahead), receipt_number="R-2", till_number="utmost"))
    narrow = timedelta(seconds=1)
    for moment, number in ((old, 1), (ahead, 2)):
        period = {"sold_from": at(moment), "sold_until": at(moment + narrow)}
        assert await receipt_numbers(points, member, **period) == [number]


async def test_pages_of_a_filtered_list_add_up_and_their_tokens_belong_to_the_filter(
    points: Points, member: Member
) -> None:
    period = {
        "occurred_from": at(START + timedelta(days=1)),
        "occurred_until": at(START + timedelta(days=8)),
    }
    other = period | {"occurred_until": at(START + timedelta(days=7))}
    found: list[int] = []
    token = ""
    while True:
        page = await points.entries(member, page_size=3, page_token=token, **period)
        found += [entry.sequence for entry in page.entries]
        token = page.next_page_token
        if not token:
            break
        assert await reason(points.entries(member, page_size=3, page_token=token)) == "PAGE_TOKEN_NOT_VALID"
        wrong = points.entries(member, page_size=3, page_token=token, **other)
        assert await reason(wrong) == "PAGE_TOKEN_NOT_VALID"
    assert found == [8, 7, 6, 5, 4, 3, 2]
    first = await points.purchases(member, page_size=3, sold_from=at(utc_now() - timedelta(days=40)))
    unfiltered = points.purchases(member, page_size=3, page_token=first.next_page_token)
    assert await reason(unfiltered) == "PAGE_TOKEN_NOT_VALID"


async def test_a_period_must_end_after_it_begins(points: Points, member: Member) -> None:
    for end in (START, START - timedelta(days=1)):
        occurred = points.entries(member, occurred_from=at(START), occurred_until=at(end))
        assert await faulty_fields(occurred) == ["occurred_until"]
        sold_then = points.purchases(member, sold_from=at(START), sold_until=at(end))
        assert await faulty_fields(sold_then) == ["sold_until"]


@pytest.mark.parametrize("seconds", [-(10**12), 10**12])
async def test_a_moment_beyond_the_calendar_is_refused(points: Points, member: Member, seconds: int) -> None:
    beyond = timestamp_pb2.Timestamp(seconds=seconds)
    for name in ("occurred_from", "occurred_until"):
        assert await faulty_fields(points.entries(member, **{name: beyond})) == [name]
    for name in ("sold_from", "sold_until"):
        assert await faulty_fields(points.purchases(member, **{name: beyond})) == [name]


async def test_the_first_and_the_last_moment_of_the_calendar_are_taken(
    points: Points, member: Member
) -> None:
    first = timestamp_pb2.Timestamp(seconds=-62_135_596_800)
    last = timestamp_pb2.Timestamp(seconds=253_402_300_799)
    assert len(await entry_numbers(points, member, occurred_until=last, occurred_from=first)) == 10
    assert len(await receipt_numbers(points, member, sold_until=last, sold_from=first)) == 10
    assert await receipt_numbers(points, member, sold_from=last) == []
    assert await receipt_numbers(points, member, sold_until=first) == []


# What a page reads, of a member with a long history.


@pytest.fixture(scope="module")
async def own(platform: Platform) -> AsyncIterator[OwnService]:
    """Points with a member whose history is long, among others with long ones."""
    async with own_service(platform) as service:
        for member_id in (new_id(), LONG, new_id()):
            await fill(service, member_id)
        await crowd(service)
        await leave_unclaimed(service)
        await execute(service, "ANALYZE ledger_entries, purchases")
        yield service


LONG, CROWDED, RARE = new_id(), new_id(), new_id()
UNCLAIMED = 40
"""So many purchases, in the midst of all, are nobody's, and were recorded by a client that has no others."""


async def crowd(own: OwnService) -> None:
    """An entry every ten seconds, written up to nine minutes after its transaction began."""
    await execute(
        own,
        "INSERT INTO ledger_entries (member_id, sequence, kind, delta, balance_after, reference, occurred_at)"
        " SELECT %(member)s, i, 'EARN', 1, i, 'x',"
        " %(start)s + i * interval '10 seconds' - (i * 7919 %% 10) * interval '1 minute'"
        " FROM generate_series(1, 5000) AS i",
        member=CROWDED,
        start=START,
    )


async def leave_unclaimed(own: OwnService) -> None:
    """Some purchases of the long history without a member, recorded by a client of their own."""
    await execute(
        own,
        """
        UPDATE purchases SET member_id = id, client_id = %(rare)s WHERE member_id = %(member)s
          AND number BETWEEN 1000 AND 999 + %(many)s
        """,
        rare=RARE,
        member=LONG,
        many=UNCLAIMED,
    )


async def fill(own: OwnService, member_id: UUID) -> None:
    """One entry and one purchase after the other, for 200 days; every 5,000th entry is an adjustment."""
    values = {"member": member_id, "many": MANY, "start": START, "step": timedelta(days=DAYS) / MANY}
    await execute(
        own,
        "INSERT INTO ledger_entries (member_id, sequence, kind, delta, balance_after, reference, occurred_at)"
        " SELECT %(member)s, i, CASE WHEN i %% 5000 = 0 THEN 'ADJUST' ELSE 'EARN' END, 1, i, 'x',"
        " %(start)s + i * %(step)s::interval"
        " FROM generate_series(1, %(many)s) AS i",
        **values,
    )
    await execute(
        own,
        "INSERT INTO purchases (member_id, id, number, receipt_number, till_number, sold_at, recorded_at,"
        " currency_code, total_minor, eligible_minor, points, earn_rule, balance_after, client_id,"
        " rule_set_id)"
        " SELECT %(member)s, uuidv7(at - now()), i, 'R-' || i, '',"
        " at - (i %% 10) * interval '1 hour', at, 'USD',"
        " 1000, 1000, 1, 'x', i, %(member)s, 1 FROM (SELECT i, %(start)s + i * %(step)s::interval AS at"
        " FROM generate_series(1, %(many)s) AS i) AS times",
        **values,
    )


async def rows_read(
    database: Database, listing: Listing[Any], order_by: str = "", **wanted: object
) -> tuple[int, int]:
    """Returns how many rows a list shows, and how many its plan reads."""

    async def explained(connection: Connection) -> tuple[int, int]:
        shown, statement, parameters = await _seen(connection, listing, order_by, **wanted)
        [(plan,)] = await _explain(connection, f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
        return shown, sum(_read(plan[0]["Plan"]))

    return await database.read(explained)


async def _seen(
    connection: Connection, listing: Listing[Any], order_by: str = "", **wanted: object
) -> tuple[int, str, Any]:
    """Returns how many rows a list shows, and the statement by which it found them."""
    statements: list[tuple[str, Any]] = []

    class Seen(psycopg.AsyncCursor[Any]):
        async def execute(self, query: Any, params: Any = None, **kwargs: Any) -> Any:
            plain = query.as_string(self) if isinstance(query, sql.Composable) else query
            statements.append((plain, params))
            return await super().execute(query, params, **kwargs)

    usual, connection.cursor_factory = connection.cursor_factory, Seen
    try:
        rows, _ = await listing.page(connection, Page(50, "", "x"), order_by=order_by, **wanted)
    finally:
        connection.cursor_factory = usual
    [(statement, parameters)] = statements
    return len(rows), statement, parameters


async def _explain(connection: Connection, statement: Any, parameters: Any = None) -> list[Any]:
    cursor = await connection.cursor(row_factory=tuple_row).execute(statement, parameters)
    return await cursor.fetchall()


def _read(plan: dict[str, Any]) -> list[int]:
    below = [number for child in plan.get("Plans", ()) for number in _read(child)]
    if "Scan" not in plan["Node Type"]:
        return below
    removed = plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Index Recheck", 0)
    return [*below, int((plan["Actual Rows"] + removed) * plan["Actual Loops"])]


def days(first: float, last: float) -> Period:
    """From a day of the long history to another."""
    return Period(START + timedelta(days=first), START + timedelta(days=last))


@pytest.mark.covers("P4 PointsService.ListMyEntries")
@pytest.mark.parametrize(
    ("kind", "period", "shown"),
    [
        (None, Period(), 51),
        (None, days(100, 101), 51),
        (None, days(10, 10.1), 10),
        (None, Period(end=START + timedelta(days=5)), 51),
        (None, Period(start=START + timedelta(days=199.9)), 10),
        (None, Period(start=START + timedelta(days=300)), 0),
        (None, Period(end=START), 0),
        (EntryKind.EARN, days(100, 101), 51),
        (EntryKind.ADJUST, Period(), 4),
        (EntryKind.ADJUST, days(90, 110), 1),
        (EntryKind.ADJUST, days(10, 20), 0),
        (EntryKind.SPEND, Period(), 0),
    ],
)
async def test_a_page_of_entries_reads_little_of_a_long_history(
    own: OwnService, kind: EntryKind | None, period: Period, shown: int
) -> None:
    found, read = await rows_read(own.database, ENTRIES, **entry_filters(LONG, kind, period))
    assert abs(found - shown) <= 1
    assert read <= 51 + 2 * 64 + 10


async def test_a_rare_kind_is_found_by_its_index_also_by_a_plan_for_every_kind(own: OwnService) -> None:
    """A statement that is prepared may get one plan for whatever values it is given."""

    async def explained(connection: Connection) -> str:
        filters = entry_filters(LONG, EntryKind.ADJUST, Period())
        _, statement, parameters = await _seen(connection, ENTRIES, **filters)
        for number, name in enumerate(parameters, 1):
            statement = statement.replace(f"%({name})s", f"${number}")
        statement = statement.replace("%%", "%")
        return "\n".join(
            line for (line,) in await _explain(connection, f"EXPLAIN (GENERIC_PLAN) {statement}")
        )

    assert "ix_ledger_entries_kind" in await own.database.read(explained)


def minutes(first: int, last: int) -> Period:
    """From a minute of the crowded history to another."""
    return Period(START + timedelta(minutes=first), START + timedelta(minutes=last))


@pytest.mark.parametrize(
    ("member_id", "period"),
    [
        *((LONG, period) for period in (days(0, 0.5), days(57, 58.2), days(120, 140), days(150, 150.02))),
        *((CROWDED, minutes(first, first + 1)) for first in range(0, 830, 50)),
    ],
)
async def test_nothing_in_the_period_is_left_out(own: OwnService, member_id: UUID, period: Period) -> None:
    async def every(connection: Connection) -> list[int]:
        found: list[int] = []
        token = ""
        while True:
            page = Page(200, token, "x")
            rows, token = await ENTRIES.page(connection, page, **entry_filters(member_id, None, period))
            found += [row.sequence for row in rows]
            if not token:
                return found

    async def wanted(connection: Connection) -> list[int]:
        return await fetch_values(
            connection,
            """
            SELECT sequence FROM ledger_entries
            WHERE member_id = %(id)s AND occurred_at >= %(start)s AND occurred_at < %(end)s
            ORDER BY sequence DESC
            """,
            id=member_id,
            **vars(period),
        )

    found = await own.database.read(every)
    assert found
    assert found == await own.database.read(wanted)


@pytest.mark.covers("P4 PointsService.ListMyPurchases")
@pytest.mark.parametrize("order_by", ["sold_at", "sold_at desc", "recorded_at", "recorded_at desc"])
@pytest.mark.parametrize(
    ("period", "shown", "around"),
    [
        (Period(), 51, 0),
        (days(100, 101), 51, 31),
        (Period(start=START + timedelta(days=199.9)), 6, 1),
        (Period(start=START + timedelta(days=300)), 0, 0),
        (Period(end=START - timedelta(days=1)), 0, 31),
    ],
)
async def test_a_page_of_a_members_purchases_reads_little_of_a_long_history(
    own: OwnService, order_by: str, period: Period, shown: int, around: int
) -> None:
    """By the time of sale what it shows; as recorded no more than the period and thirty days."""
    filters = {"member_id": LONG, **period_filters(order_by, sold=period, recorded=Period())}
    found, read = await rows_read(own.database, PURCHASES, order_by, **filters)
    assert abs(found - shown) <= 4
    assert read <= 60 + (MANY / DAYS * around if order_by.startswith("recorded_at") else 0)


@pytest.mark.covers("P4 PointsAdminService.ListPurchases")
@pytest.mark.parametrize("order_by", ["sold_at", "sold_at desc", "recorded_at", "recorded_at desc"])
@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"client_id": True, "recorded": days(100, 101)},
        {"unclaimed": True},
        {"sold": days(100, 101)},
        {"recorded": days(100, 101)},
        {"recorded": Period(end=START)},
        {"sold": Period(start=START + timedelta(days=300))},
    ],
    ids=lambda wanted: ",".join(wanted) or "all",
)
async def test_a_page_of_all_purchases_reads_little_of_many(
    own: OwnService, order_by: str, wanted: dict[str, Any]
) -> None:
    """In the order that fits a filter it reads what it shows; else, or by the client, what a period holds."""
    filters = {
        "client_id": RARE if "client_id" in wanted else None,
        "unclaimed": wanted.get("unclaimed"),
        **period_filters(
            order_by, sold=wanted.get("sold", Period()), recorded=wanted.get("recorded", Period())
        ),
    }
    _, read = await rows_read(own.database, PURCHASES, order_by, **filters)
    periods = {"sold_at": "recorded", "recorded_at": "sold"}[order_by.partition(" ")[0]]
    held = 3 * MANY / DAYS * (32 if periods in wanted else 1 if "client_id" in wanted else 0)
    assert read <= 200 + held
