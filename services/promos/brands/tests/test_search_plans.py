"""What a page of a search reads of many stores: little, whatever is asked for and however common it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import pytest

from services.common.db import Connection, Database, fetch_values
from services.common.paging import Page
from services.common.search_words import corrections
from services.promos.brands.geography import Place
from services.promos.brands.search import Match, Wanted, fetch_match, matches, search
from services.promos.brands.store_queries import MANAGED_STORES
from services.promos.tests.many_stores import fill
from tests.databases import new_database
from tests.inprocess import Platform
from tests.plans import indexes_used, rows_read

MANY, BRANDS, PAGE = 20_000, 200, 50
MOST_READ = 7_500
"""Rows of the table and entries of its indexes: a common term has a third of what there are stores."""


class Many:
    """Many stores, and what some of them are called."""

    def __init__(self, database: Database, brand_ids: Sequence[UUID]) -> None:
        self.database = database
        self.brand_ids = brand_ids
        self.city = ""
        self.place = Place(0, 0)

    async def look(self) -> None:
        """Finds the city with the most stores."""

        async def largest(connection: Connection) -> list[Any]:
            return await fetch_values(
                connection,
                """
                SELECT unnest(ARRAY[city, avg(latitude)::text, avg(longitude)::text]) FROM stores
                GROUP BY city ORDER BY count(*) DESC, city LIMIT 3
                """,
            )

        self.city, latitude, longitude = (await self.database.read(largest))[:3]
        self.place = Place(float(latitude), float(longitude))


@pytest.fixture(scope="module")
async def many(platform: Platform) -> AsyncIterator[Many]:
    """A database of its own with many stores."""
    url = await new_database(platform.postgres, "promos")
    brand_ids = await asyncio.to_thread(fill, url, MANY, brands=BRANDS)
    database = Database(url, pool_size=1)
    many = Many(database, brand_ids)
    await many.look()
    yield many
    await database.close()


async def matches_of_first_page(many: Many, wanted: Wanted) -> list[Match]:
    """Returns the kinds of match that a first page asks for."""

    async def asked_for(connection: Connection) -> list[Match]:
        asked: list[Match] = []
        left = PAGE + 1
        async for match in matches(connection, wanted):
            asked.append(match)
            left -= len(await fetch_match(connection, wanted, match, None, left))
            if not left:
                break
        return asked

    return await many.database.read(asked_for)


@pytest.mark.parametrize("around", [0, 10_000, 100_000])
@pytest.mark.parametrize(
    "query",
    ["", "bakery", "store", "b", "ba", "main street", "bakrey", "bakrey stoer", "s m b", "city", "nothing"],
)
@pytest.mark.parametrize("narrow", ["", "category", "brand"])
async def test_a_page_of_a_search_reads_little(many: Many, query: str, around: int, narrow: str) -> None:
    wanted = Wanted(
        query=many.city if query == "city" else query,
        category="Books" if narrow == "category" else "",
        brand_id=many.brand_ids[7] if narrow == "brand" else None,
        place=many.place if around else None,
        meters=around,
    )
    for match in await matches_of_first_page(many, wanted):
        read = await rows_read(
            many.database, fetch_match, wanted=wanted, match=match, behind=None, limit=PAGE + 1
        )
        assert read <= MOST_READ, f"{read} rows for kind {match.kind}"


@pytest.mark.parametrize("around", [0, 10_000])
@pytest.mark.parametrize("query", ["", "bakery", "bakrey"])
async def test_when_all_are_closed_few_are_looked_at(many: Many, query: str, around: int) -> None:
    wanted = Wanted(query=query, place=many.place if around else None, meters=around, open_now=True)
    for match in await matches_of_first_page(many, wanted):
        read = await rows_read(
            many.database, fetch_match, wanted=wanted, match=match, behind=None, limit=PAGE + 1, hours=[0]
        )
        assert read < 100, f"{read} rows for kind {match.kind}"


async def test_words_with_typing_errors_are_looked_up_by_index(many: Many) -> None:
    read = await rows_read(many.database, corrections, query_words=["bakrey", "electroncis", "stoer"])
    assert read < 200
    used = await indexes_used(many.database, corrections, query_words=["bakrey"])
    assert used == {"ix_search_words_remainders"}


async def test_pages_of_a_search_add_up_among_many(many: Many) -> None:
    for wanted in (
        Wanted(query="bakery " + many.city),
        Wanted(query="bakrey", place=many.place, meters=20_000),
        Wanted(category="Toys", place=many.place, meters=5_000),
    ):
        seen: list[UUID] = []
        token = ""
        while True:
            page = Page(17, token, "x")
            rows, token = await many.database.read(search, page, wanted)
            seen += [row.id for row in rows]
            if not token:
                break
        whole, _ = await many.database.read(search, Page(10_000, "", "x"), wanted)
        assert seen == [row.id for row in whole]
        assert len(set(seen)) == len(seen) > 20


@pytest.mark.parametrize("order_by", ["name", "name desc", "created_at", "created_at desc"])
@pytest.mark.parametrize("narrow", ["", "brand", "name", "both"])
async def test_a_page_of_staffs_list_reads_little(many: Many, order_by: str, narrow: str) -> None:
    wanted = {
        "brand_id": many.brand_ids[7] if narrow in {"brand", "both"} else None,
        "named": "ba" if narrow in {"name", "both"} else None,
    }
    read = await rows_read(
        many.database, MANAGED_STORES.page, page=Page(PAGE, "", "x"), order_by=order_by, **wanted
    )
    assert read <= MOST_READ
