"""The redemptions of all codes, for staff: filters, order, totals, a file, and what a page reads."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import grpc
import pytest
from google.api import httpbody_pb2
from scrip.promos.v1 import code_pb2

from services.common.db import Connection, Database, execute
from services.common.encoding import timestamp
from services.common.ids import new_id
from services.common.paging import Page
from services.promos.codes.queries import BRAND_REDEMPTIONS, REDEMPTION_LIST
from services.promos.tests.support import THIRTY_PERCENT, Promos, in_days
from tests.databases import new_database
from tests.inprocess import Platform, bearer, reason
from tests.plans import indexes_used, rows_read


class Shop:
    """A store server with redemptions of its own, in the order in which they were made."""

    def __init__(self, client: UUID, token: str) -> None:
        self.client = client
        self.token = token
        self.sets: list[UUID] = []
        self.made: list[code_pb2.Redemption] = []


@pytest.fixture
async def shop(promos: Promos) -> Shop:
    """Four redemptions at tills 1 and 2, of two sets; the second was cancelled."""
    client = new_id()
    shop = Shop(client, await promos.platform.token("till", client))
    for number, benefit in enumerate((None, THIRTY_PERCENT)):
        code_set_id = await promos.code_set(2, **({"benefit": benefit} if benefit else {}))
        shop.sets.append(code_set_id)
        for till, code_id in enumerate(await promos.assign(code_set_id, quantity=2), 1):
            code = (await promos.get([code_id]))[code_id].code
            sale = f"R-{number}"
            shop.made.append(await promos.redeem(code, sale, shop.token, till_number=str(till)))
    shop.made[1] = await promos.cancel(shop.made[1].id, shop.token)
    return shop


@pytest.mark.covers("C2 CodeService.ListRedemptions")
async def test_redemptions_are_found_by_each_filter(promos: Promos, shop: Shop) -> None:
    made = shop.made

    async def found(**fields: Any) -> list[code_pb2.Redemption]:
        return list((await promos.list_redemptions(**fields)).redemptions)

    mine = {"redeemed_by": str(shop.client)}
    assert await found(**mine) == made[::-1]
    assert await found(till_number="2", **mine) == [made[3], made[1]]
    assert await found(sale_reference="R-0", **mine) == [made[1], made[0]]
    assert {one.id for one in await found(sale_reference="R-0", page_size=200)} >= {made[0].id, made[1].id}
    assert await found(code_id=made[2].code_id) == [made[2]]
    assert await found(code_set_id=str(shop.sets[1])) == [made[3], made[2]]
    assert await found(cancelled=True, **mine) == [made[1]]
    assert await found(cancelled=False, **mine) == [made[3], made[2], made[0]]
    third = made[2].redeemed_at
    assert await found(redeemed_from=third, **mine) == [made[3], made[2]]
    assert await found(redeemed_until=third, **mine) == [made[1], made[0]]
    assert await found(redeemed_by=str(new_id())) == []


@pytest.mark.covers("C2 CodeService.ListRedemptions")
async def test_redemptions_come_in_either_order_page_by_page_with_a_total(promos: Promos, shop: Shop) -> None:
    for order_by, expected in (("redeemed_at", shop.made), ("redeemed_at desc", shop.made[::-1])):
        fields = {"redeemed_by": str(shop.client), "order_by": order_by, "page_size": 3}
        first = await promos.list_redemptions(with_total=True, **fields)
        assert (first.total.count, first.total.more) == (4, False)
        rest = await promos.list_redemptions(page_token=first.next_page_token, **fields)
        assert [*first.redemptions, *rest.redemptions] == expected
        assert (rest.next_page_token, rest.HasField("total")) == ("", False)
        other = promos.list_redemptions(page_token=first.next_page_token, order_by=order_by)
        assert await reason(other) == "PAGE_TOKEN_NOT_VALID"


@pytest.mark.parametrize(
    "fields",
    [
        {"till_number": "1"},
        {"redeemed_by": "nobody"},
        {"code_id": "1"},
        {"order_by": "sale_reference"},
        {"redeemed_from": timestamp(in_days(0)), "redeemed_until": timestamp(in_days(-1))},
    ],
)
async def test_what_can_not_be_asked_for_is_refused(promos: Promos, fields: dict[str, Any]) -> None:
    assert await reason(promos.list_redemptions(**fields)) == "VALIDATION_FAILED"


async def exported(promos: Promos, token: str, **fields: Any) -> tuple[str, bytes]:
    """Returns the content type and the content of a file of redemptions."""
    request = code_pb2.ExportRedemptionsRequest(**fields)
    pieces: list[httpbody_pb2.HttpBody] = [
        piece async for piece in promos.codes.ExportRedemptions(request, metadata=bearer(token))
    ]
    return pieces[0].content_type, b"".join(piece.data for piece in pieces)


@pytest.mark.covers("C2 CodeService.ExportRedemptions")
async def test_redemptions_are_exported_as_csv_with_an_end(promos: Promos, shop: Shop) -> None:
    content_type, content = await exported(promos, promos.admin, redeemed_by=str(shop.client))
    assert content_type == "text/csv; charset=utf-8"
    *lines, end = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    assert end == ["#end", "4"]
    rows = [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]
    assert [row["id"] for row in rows] == [made.id for made in reversed(shop.made)]
    first = shop.made[0]
    assert rows[3] == {
        "id": first.id,
        "code_id": first.code_id,
        "code_set_id": str(shop.sets[0]),
        "redeemed_by": str(shop.client),
        "till_number": "1",
        "sale_reference": "R-0",
        "amount_off_minor": "500",
        "currency_code": "USD",
        "percent_off": "",
        "redeemed_at": first.redeemed_at.ToJsonString(),
        "cancelled_at": "",
        "member_id": first.member_id,
        "cancelled_by": "",
        "discount_minor": "",
    }
    assert (rows[0]["amount_off_minor"], rows[0]["percent_off"]) == ("", "30")
    assert rows[2]["cancelled_at"] == shop.made[1].cancelled_at.ToJsonString()


async def test_redemptions_of_all_are_for_admins_and_managers_alone(promos: Promos) -> None:
    for role in ("cashier", "till", "member"):
        token = await promos.platform.token(role)
        call = promos.codes.ListRedemptions(code_pb2.ListRedemptionsRequest(), metadata=bearer(token))
        assert await reason(call) == "ROLE_NOT_ALLOWED"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await exported(promos, token)
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


# What a page reads where there are many.

MANY = 20_000
START = datetime(2026, 1, 1, tzinfo=UTC)
BUSY, RARE, NOBODY = UUID(int=1), UUID(int=2), UUID(int=3)
BUSY_SET, RARE_SET = UUID(int=4), UUID(int=5)
BUSY_BRAND, RARE_BRAND = UUID(int=6), UUID(int=7)


@pytest.fixture(scope="module")
async def many(platform: Platform) -> AsyncIterator[Database]:
    """A code of its own for each of 20,000 redemptions; the oldest are of a till and a set that have few."""
    url = await new_database(platform.postgres, "promos")
    database = Database(url, pool_size=2)
    await database.run(_fill)
    await database.run(execute, "ANALYZE")
    yield database
    await database.close()


async def _fill(connection: Connection) -> None:
    values = {
        "busy": BUSY,
        "rare": RARE,
        "busy_set": BUSY_SET,
        "rare_set": RARE_SET,
        "many": MANY,
        "busy_brand": BUSY_BRAND,
        "rare_brand": RARE_BRAND,
    }
    await execute(
        connection,
        """
        INSERT INTO code_sets (id, purpose, percent_off, brand_id)
        VALUES
          (%(busy_set)s, 'DISCOUNT', 30, %(busy_brand)s), (%(rare_set)s, 'DISCOUNT', 30, %(rare_brand)s)
        """,
        **values,
    )
    await execute(
        connection,
        """
        INSERT INTO codes (id, code_set_id, code, shuffle, state, owner_member_id, uses, uses_allowed)
        SELECT
          uuidv7(), CASE WHEN i <= 5 THEN %(rare_set)s ELSE %(busy_set)s END, 'C' || i, i, 'ASSIGNED',
          %(busy)s, 1, 1
        FROM generate_series(1, %(many)s) AS i
        """,
        **values,
    )
    await execute(
        connection,
        """
        INSERT INTO redemptions (
          id, code_id, code_set_id, caller_id, till_number, sale_reference, redeemed_at, cancelled_at,
          brand_id
        )
        SELECT
          uuidv7(), id, code_set_id, CASE WHEN shuffle <= 5 THEN %(rare)s::uuid ELSE %(busy)s END,
          shuffle %% 8, CASE WHEN shuffle %% 1000 = 0 THEN 'R-1' ELSE 'S-' || shuffle END,
          %(start)s + shuffle * interval '1 minute', CASE WHEN shuffle <= 5 THEN now() END,
          CASE WHEN shuffle <= 5 THEN %(rare_brand)s::uuid ELSE %(busy_brand)s END
        FROM codes
        """,
        start=START,
        **values,
    )


@pytest.mark.parametrize("order_by", ["redeemed_at", "redeemed_at desc"])
@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"redeemed_by": BUSY},
        {"redeemed_by": RARE},
        {"redeemed_by": NOBODY},
        {"redeemed_by": BUSY, "till_number": "3"},
        {"sale_reference": "S-777"},
        {"sale_reference": "R-1"},
        {"sale_reference": "none"},
        {"code_set_id": BUSY_SET},
        {"code_set_id": RARE_SET},
        {"code_set_id": NOBODY},
        {"code_id": NOBODY},
        {"cancelled": True},
        {"standing": True},
        {"redeemed_from": START + timedelta(minutes=MANY)},
        {"redeemed_until": START},
        {"redeemed_from": START + timedelta(days=7), "redeemed_until": START + timedelta(days=7, minutes=9)},
    ],
    ids=str,
)
async def test_a_page_of_many_redemptions_reads_little(
    many: Database, order_by: str, wanted: dict[str, object]
) -> None:
    read = await rows_read(many, REDEMPTION_LIST.page, page=Page(50, "", "x"), order_by=order_by, **wanted)
    assert read < 600


@pytest.mark.parametrize("order_by", ["redeemed_at", "redeemed_at desc"])
@pytest.mark.parametrize(
    "wanted",
    [
        {"brand_id": BUSY_BRAND},
        {"brand_id": RARE_BRAND},
        {"brand_id": NOBODY},
        {"code_set_id": BUSY_SET},
        {"code_set_id": RARE_SET},
        {"brand_id": BUSY_BRAND, "redeemed_from": START + timedelta(minutes=MANY)},
        {"brand_id": BUSY_BRAND, "redeemed_until": START},
        {"brand_id": RARE_BRAND, "redeemed_from": START + timedelta(days=7)},
        {"code_set_id": BUSY_SET, "redeemed_from": START + timedelta(days=7)},
    ],
    ids=str,
)
async def test_a_page_of_a_brands_redemptions_reads_little(
    many: Database, order_by: str, wanted: dict[str, object]
) -> None:
    page = Page(50, "", "x")
    read = await rows_read(many, BRAND_REDEMPTIONS.page, page=page, order_by=order_by, **wanted)
    assert read < 600


async def test_few_redemptions_of_a_brand_are_found_by_their_own_index(many: Database) -> None:
    page = Page(50, "", "x")
    used = await indexes_used(many, BRAND_REDEMPTIONS.page, page=page, brand_id=RARE_BRAND)
    assert "ix_redemptions_brand_id" in used


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ({"redeemed_by": RARE}, "ix_redemptions_caller_id"),
        ({"redeemed_by": NOBODY}, "ix_redemptions_caller_id"),
        ({"code_set_id": RARE_SET}, "ix_redemptions_code_set_id"),
        ({"code_id": NOBODY}, "ix_redemptions_code_id"),
        ({"sale_reference": "S-777"}, "uq_redemptions_sale"),
        ({"cancelled": True}, "ix_redemptions_cancelled"),
        ({"redeemed_until": START}, "ix_redemptions_redeemed_at"),
    ],
    ids=str,
)
async def test_few_redemptions_among_many_are_found_by_their_own_index(
    many: Database, wanted: dict[str, object], index: str
) -> None:
    assert index in await indexes_used(many, REDEMPTION_LIST.page, page=Page(50, "", "x"), **wanted)
