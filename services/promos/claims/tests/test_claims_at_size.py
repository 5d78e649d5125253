"""What lists of claims and claiming read where there are many."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from services.common.db import Connection, Database, execute
from services.common.lists import MOST_COMPARED
from services.common.paging import Page
from services.promos.claims.queries import CLAIM_LIST, MY_CLAIMS, codes_claimed
from services.promos.claims.usable_claims import usable_claims
from tests.databases import new_database
from tests.inprocess import Platform
from tests.plans import rows_read

MANY = 20_000
START = datetime(2026, 1, 1, tzinfo=UTC)
BRAND, SMALL, NOBODY = UUID(int=1), UUID(int=2), UUID(int=3)
BUSY, RARE, OTHER = UUID(int=4), UUID(int=5), UUID(int=6)
MEMBER = UUID(int=20)


@pytest.fixture(scope="module")
async def many(platform: Platform) -> AsyncIterator[Database]:
    """20,000 claims; the oldest are of a brand and of a discount that have few."""
    url = await new_database(platform.postgres, "promos")
    database = Database(url, pool_size=2)
    await database.run(_fill)
    await database.run(execute, "ANALYZE")
    yield database
    await database.close()


async def _fill(connection: Connection) -> None:
    values = {"brand": BRAND, "small": SMALL, "busy": BUSY, "rare": RARE, "other": OTHER, "many": MANY}
    await execute(
        connection,
        """
        INSERT INTO brands (id, name, name_key, description, category, website, state)
        SELECT id, 'A', 'a', '', 'c', '', 'PUBLISHED'
        FROM unnest(ARRAY[%(brand)s, %(small)s]::uuid[]) AS b (id)
        """,
        **values,
    )
    await execute(
        connection,
        """
        INSERT INTO code_sets (id, purpose, percent_off)
        SELECT id, 'DISCOUNT', 30 FROM unnest(ARRAY[%(busy)s, %(rare)s, %(other)s]::uuid[]) AS d (id)
        """,
        **values,
    )
    await execute(
        connection,
        """
        INSERT INTO discounts (id, brand_id, name, description, quantity)
        VALUES
          (%(busy)s, %(brand)s, '', '', 99999), (%(rare)s, %(brand)s, '', '', 99999),
          (%(other)s, %(small)s, '', '', 99999)
        """,
        **values,
    )
    await execute(
        connection,
        """
        INSERT INTO codes (id, code_set_id, code, shuffle, state, owner_member_id, uses_allowed)
        SELECT
          uuidv7(), CASE WHEN i <= 5 THEN %(rare)s WHEN i <= 10 THEN %(other)s ELSE %(busy)s::uuid END,
          'C' || i, i, 'ASSIGNED', ('00000000-0000-0000-0000-' || lpad(to_hex(i), 12, '0'))::uuid, 1
        FROM generate_series(1, %(many)s) AS i
        """,
        **values,
    )
    await execute(
        connection,
        """
        INSERT INTO claims (id, discount_id, brand_id, member_id, code_id, idempotency_key, claimed_at)
        SELECT
          uuidv7(), code_set_id, CASE WHEN code_set_id = %(other)s THEN %(small)s::uuid ELSE %(brand)s END,
          owner_member_id, id, code, %(start)s + shuffle * interval '1 minute'
        FROM codes
        """,
        start=START,
        **values,
    )


@pytest.mark.parametrize("order_by", ["claimed_at", "claimed_at desc"])
@pytest.mark.parametrize(
    "wanted",
    [
        {"brand_id": BRAND},
        {"brand_id": SMALL},
        {"brand_id": NOBODY},
        {"discount_id": BUSY},
        {"discount_id": RARE},
        {"discount_id": NOBODY},
        {"brand_id": BRAND, "claimed_from": START + timedelta(minutes=MANY)},
        {"brand_id": BRAND, "claimed_until": START},
        {"discount_id": BUSY, "claimed_from": START + timedelta(days=7)},
    ],
    ids=str,
)
async def test_a_page_of_many_claims_reads_little(
    many: Database, order_by: str, wanted: dict[str, object]
) -> None:
    read = await rows_read(many, CLAIM_LIST.page, page=Page(50, "", "x"), order_by=order_by, **wanted)
    assert read < 600


@pytest.mark.parametrize("order_by", ["claimed_at", "claimed_at desc"])
@pytest.mark.parametrize(("state", "most"), [("USABLE", 500), ("VOID", MOST_COMPARED)])
@pytest.mark.parametrize("whose", [{"brand_id": BRAND}, {"discount_id": BUSY}], ids=str)
async def test_a_page_of_claims_in_a_state_reads_so_many_however_few_there_are(
    many: Database, order_by: str, state: str, most: int, whose: dict[str, object]
) -> None:
    page = Page(50, "", "x")
    read = await rows_read(many, CLAIM_LIST.page, page=page, order_by=order_by, state=state, **whose)
    assert read <= 3 * most, "each with its code and its set"


async def test_what_one_member_claimed_among_many_reads_little(many: Database) -> None:
    assert await rows_read(many, MY_CLAIMS.page, page=Page(50, "", "x"), member_id=MEMBER) < 20
    assert await rows_read(many, codes_claimed, member_id=MEMBER) < 5
    assert await rows_read(many, usable_claims, member_id=MEMBER) < 20
