"""Lists with filters and sort orders: pages add up in every order, totals stop counting, indexes serve."""

from __future__ import annotations

import base64
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest

from services.common.csv_lists import csv_lines
from services.common.db import Connection, Database, execute
from services.common.errors import DomainError
from services.common.ids import new_id
from services.common.lists import (
    MOST_COMPARED,
    MOST_COUNTED,
    Listing,
    SortKey,
    Total,
    parse_bigint,
    parse_moment,
)
from services.common.paging import Page

ROWS = 12_000
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Sale:
    """A row to list."""

    id: UUID
    till: str
    sold_at: datetime
    total: int


SALES = Listing(
    row=Sale,
    columns="s.id, s.till, s.sold_at, s.total",
    source="sales s",
    filters={
        "till": "s.till = %(till)s",
        "sold_from": "s.sold_at >= %(sold_from)s",
        "sold_until": "s.sold_at < %(sold_until)s",
    },
    keys={
        "sold_at": SortKey("s.sold_at", "sold_at", parse_moment),
        "total": SortKey("s.total", "total", parse_bigint),
    },
    key=SortKey("s.id", "id", UUID),
    default_order="sold_at desc",
    always="s.total >= 0",
)


@pytest.fixture(scope="module")
async def sales(db: Database) -> AsyncIterator[list[Sale]]:
    """Sales of ten tills, many at the same moment, and one that is not listed."""
    chance = random.Random(7)
    rows = [
        Sale(new_id(), f"T{n % 10}", FIRST + timedelta(minutes=chance.randrange(500)), chance.randrange(50))
        for n in range(ROWS)
    ]
    await db.run(_create, [*rows, Sale(new_id(), "T1", FIRST, -1)])
    yield rows
    await db.run(execute, "DROP TABLE sales")


async def _create(connection: Connection, rows: list[Sale]) -> None:
    await execute(
        connection, "CREATE TABLE sales (id uuid PRIMARY KEY, till text, sold_at timestamptz, total int)"
    )
    await execute(connection, "CREATE INDEX ON sales (till, sold_at DESC, id DESC)")
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO sales VALUES (%s, %s, %s, %s)",
            [(row.id, row.till, row.sold_at, row.total) for row in rows],
        )
    await execute(connection, "ANALYZE sales")


async def all_pages(db: Database, size: int, order_by: str, **wanted: Any) -> list[Sale]:
    """Returns what the pages of a list have, one after the other."""
    found: list[Sale] = []
    token = ""
    while True:
        page = Page(size, token, "sales", order_by, sorted(wanted.items()))
        rows, token = await db.read(SALES.page, page, order_by=order_by, **wanted)
        found += rows
        if not token:
            return found
        assert len(rows) == size


@pytest.mark.parametrize("order_by", ["sold_at", "sold_at desc", "total", "total desc"])
async def test_pages_add_up_in_every_order(db: Database, sales: list[Sale], order_by: str) -> None:
    name, _, direction = order_by.partition(" ")
    expected = sorted(
        (sale for sale in sales if sale.till == "T3"),
        key=lambda sale: (getattr(sale, name), sale.id),
        reverse=direction == "desc",
    )
    assert await all_pages(db, 97, order_by, till="T3") == expected


async def test_filters_narrow_and_none_is_no_filter(db: Database, sales: list[Sale]) -> None:
    since, until = FIRST + timedelta(minutes=100), FIRST + timedelta(minutes=110)
    found = await all_pages(db, 200, "", till=None, sold_from=since, sold_until=until)
    assert {sale.id for sale in found} == {sale.id for sale in sales if since <= sale.sold_at < until}
    assert [sale.sold_at for sale in found] == sorted((sale.sold_at for sale in found), reverse=True)


async def test_a_total_counts_what_the_filters_leave_and_stops_at_ten_thousand(
    db: Database, sales: list[Sale]
) -> None:
    assert await db.read(SALES.total, till="T3") == Total(ROWS // 10, more=False)
    assert await db.read(SALES.total, till=None) == Total(MOST_COUNTED, more=True)
    assert await db.read(SALES.total, till="T99") == Total(0, more=False)


async def test_batches_yield_every_row_once(db: Database, sales: list[Sale]) -> None:
    found = [sale async for batch in SALES.batches(db, order_by="total") for sale in batch]
    assert found == sorted(sales, key=lambda sale: (sale.total, sale.id))


BY_TOTAL = replace(SALES, compared=frozenset({"total"}))


async def test_rows_that_are_compared_are_found_though_pages_are_short(
    db: Database, sales: list[Sale]
) -> None:
    expected = sorted(
        (sale for sale in sales if sale.total == 7), key=lambda sale: (sale.sold_at, sale.id), reverse=True
    )
    found: list[Sale] = []
    token = ""
    sizes: list[int] = []
    while token or not sizes:
        rows, token = await db.read(BY_TOTAL.page, Page(200, token, "x"), total=7)
        sizes.append(len(rows))
        found += rows
    assert found == expected
    assert any(size < 200 for size in sizes[:-1]), "so many are not among those of one page"
    [first, *_], more = await db.read(BY_TOTAL.page, Page(3, "", "x"), total=7)
    assert (first, bool(more)) == (expected[0], True)
    batches = BY_TOTAL.batches(db, total=7)
    assert [sale async for batch in batches for sale in batch] == expected


async def test_of_what_is_compared_so_much_is_read_for_a_page_or_a_total(
    db: Database, sales: list[Sale]
) -> None:
    pages: list[Sequence[Sale]] = []
    token = ""
    while token or not pages:
        rows, token = await db.read(BY_TOTAL.page, Page(50, token, "x"), total=99)
        pages.append(rows)
    assert pages == [[]] * -(-ROWS // MOST_COMPARED)
    newest = sorted(sales, key=lambda sale: (sale.sold_at, sale.id), reverse=True)[: MOST_COUNTED + 1]
    counted = Total(sum(sale.total == 7 for sale in newest), more=True)
    assert await db.read(BY_TOTAL.total, total=7) == counted
    of_one = [sale for sale in sales if sale.till == "T3" and sale.total == 7]
    assert await db.read(BY_TOTAL.total, total=7, till="T3") == Total(len(of_one), more=False)


@pytest.mark.parametrize(
    "position",
    ["", "x", "1", "[]", '["1"]', '["2026-01-01T00:00:00Z", "x"]', '["2026-01-01", 1]', "[null, null]"],
)
async def test_a_position_that_no_row_has_is_refused(db: Database, sales: list[Sale], position: str) -> None:
    _, made = Page(1, "", "sales").cut(["a", "b"], str)
    scope, _ = orjson.loads(base64.urlsafe_b64decode(made + "=="))
    token = base64.urlsafe_b64encode(orjson.dumps([scope, position])).decode()
    with pytest.raises(DomainError) as caught:
        await db.read(SALES.page, Page(1, token, "sales"))
    assert caught.value.reason == "PAGE_TOKEN_NOT_VALID"


async def test_a_page_deep_in_a_filtered_list_comes_from_the_index(db: Database, sales: list[Sale]) -> None:
    """Its cost does not grow with what lies before it, nor with what other tills have."""

    async def plan(connection: Connection) -> str:
        cursor = await connection.execute(
            "EXPLAIN SELECT s.id FROM sales s WHERE s.total >= 0 AND s.till = %s"
            " AND (s.sold_at, s.id) < (%s, %s) ORDER BY s.sold_at DESC, s.id DESC LIMIT 51",
            ("T3", FIRST + timedelta(minutes=3), new_id()),
        )
        return "\n".join(line for (line,) in await cursor.fetchall())

    explained = await db.read(plan)
    assert "Index Cond" in explained, explained
    assert "Sort" not in explained, explained


def test_cells_are_quoted_and_no_formula() -> None:
    cells = ["a", 'say "hi"', "=1+1", "＝1+1", " @x", "a\n=b;=c", None, -5]  # noqa: RUF001
    assert csv_lines([cells]).decode() == (
        '"a","say ""hi""","\'=1+1","\'＝1+1","\' @x","a\n=b;=c","","-5"\r\n'  # noqa: RUF001
    )
