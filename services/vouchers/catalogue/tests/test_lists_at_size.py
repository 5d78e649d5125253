"""What lists of vouchers read where there are many."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from services.common.db import Connection, Database, execute
from services.common.lists import Listing
from services.common.paging import Page
from services.vouchers.catalogue.exchange import EXCHANGE_LIST
from services.vouchers.catalogue.queries import OFFER_LIST, VOUCHER_LIST, VoucherRow
from tests.databases import new_database
from tests.inprocess import Platform
from tests.plans import rows_read

MANY = 20_000
MEMBER = UUID(int=1)


@pytest.fixture(scope="module")
async def many(platform: Platform) -> AsyncIterator[Database]:
    """20,000 vouchers: most on sale for points, a tenth ended, a fifth archived, few of each other kind."""
    url = await new_database(platform.postgres, "vouchers")
    database = Database(url, pool_size=2)
    await database.run(_fill)
    await database.run(execute, "ANALYZE")
    yield database
    await database.close()


async def _fill(connection: Connection) -> None:
    await execute(
        connection,
        """
        INSERT INTO vouchers (
          id, title, description, face_value_minor, currency_code, price_points, price_minor, price_rule,
          quantity, issued, buy_type, created_at, sale_starts_at, sale_ends_at, state, words
        )
        SELECT
          uuidv7(), 'Voucher ' || md5(i::text), '', 1 + i, 'USD',
          CASE WHEN i %% 2000 = 1 THEN 0 ELSE 1 + i %% 5000 END,
          CASE WHEN i %% 2000 IN (1, 2) THEN 1 + i END,
          CASE WHEN i %% 2000 = 2 THEN 'TOGETHER' ELSE 'EITHER' END,
          1000, i %% 1000, CASE WHEN i %% 2000 = 3 THEN 'GIFT' ELSE 'SELF' END,
          now() - i * interval '1 minute',
          now() + CASE WHEN i %% 2000 = 4 THEN interval '1 day' ELSE i * interval '-1 minute' END,
          CASE WHEN i %% 10 = 5 THEN now() - interval '1 hour' END,
          CASE WHEN i %% 2000 = 6 THEN 'DRAFT' WHEN i %% 2000 = 7 THEN 'INACTIVE'
            WHEN i %% 5 = 3 THEN 'ARCHIVED' ELSE 'ACTIVE' END,
          array_to_tsvector(ARRAY['voucher', 'word' || i %% 100, 'rare' || i * 7919 %% %(many)s])
        FROM generate_series(1, %(many)s) AS i
        """,
        many=MANY,
    )


async def read(many: Database, listing: Listing[VoucherRow], order_by: str, **wanted: object) -> int:
    return await rows_read(many, listing.page, page=Page(50, "", "x"), order_by=order_by, **wanted)


FILTERS: list[dict[str, object]] = [
    {},
    {"state_DRAFT": True},
    {"state_SCHEDULED": True},
    {"state_ON_SALE": True},
    {"state_ENDED": True},
    {"state_INACTIVE": True},
    {"state_ARCHIVED": True},
    {"not_on_sale": True},
    {"price_POINTS": True},
    {"price_MONEY": True},
    {"price_TOGETHER": True},
    {"buy_type": "GIFT"},
    {"words": "'voucher':*"},
    {"words": "'word7'"},
    {"words": "'rare17':*"},
    {"words": "'rare17'"},
    {"words": "'nothing':*"},
    {"words": "'voucher':* & 'word7':*", "state_ON_SALE": True},
]


@pytest.mark.parametrize("direction", ["", " desc"])
async def test_a_page_of_staffs_list_reads_little(many: Database, direction: str) -> None:
    for order in VOUCHER_LIST.keys.keys() - {"quantity_left"}:
        for wanted in FILTERS:
            found = await read(many, VOUCHER_LIST, order + direction, **wanted)
            assert found <= 2_500, f"{found} rows for {wanted} by {order}"


async def test_a_page_of_offers_and_of_what_points_get_reads_little(many: Database) -> None:
    narrowed: tuple[dict[str, object], ...] = (
        {},
        {"words": "'voucher':*"},
        # One that a twentieth has is told by two indexes at once, one of which has all that is on sale.
        {"words": "'rare170':*"},
        {"price_MONEY": True},
        {"price_TOGETHER": True},
        {"max_points": 2},
        {"available": True},
    )
    for order in OFFER_LIST.keys:
        for wanted in narrowed:
            found = await read(many, OFFER_LIST, order, on_sale=True, **wanted)
            assert found <= 2_500, f"{found} rows for {wanted} by {order}"
    affordable = {"balance": 10, "member_id": MEMBER}
    for order in ("price_points", "price_points desc", "face_value desc"):
        for mine in ({}, affordable):
            found = await read(many, EXCHANGE_LIST, order, on_sale=True, for_points=True, **mine)
            assert found <= 2_500, f"{found} rows for {mine} by {order}"
