"""What members own: filters, totals, and what a page reads where many own much; and so of gifts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from scrip.promos.v1 import code_pb2, code_pb2_grpc
from scrip.vouchers.v1 import wallet_pb2, wallet_pb2_grpc

from services.common.db import Connection, Database, execute
from services.common.ids import new_id
from services.common.paging import Page
from services.vouchers.gifts.queries import ACCEPTED_BY, GIVEN, OFFERED_TO
from services.vouchers.tests.support import Create, Earn, Order
from services.vouchers.wallet.queries import WALLET
from services.vouchers.wallet.usable_coupons import owned_coupons
from tests.databases import new_database
from tests.inprocess import Platform, bearer, eventually
from tests.plans import rows_read

USABLE, USED = wallet_pb2.WALLET_VOUCHER_STATE_USABLE, wallet_pb2.WALLET_VOUCHER_STATE_USED
MANY, OWN = 20_000, 10
"""So many vouchers of so many members; each has ten."""
MEMBER = UUID(int=7)


@pytest.mark.covers("V5 WalletService.ListMyVouchers")
async def test_a_wallet_is_filtered_by_state_and_voucher(
    platform: Platform, create: Create, earn: Earn, order: Order
) -> None:
    member, first, second = await platform.member(), await create(), await create()
    await earn(member, 1_500)
    ids = [(await order(member, one.id)).order.wallet_voucher_id for one in (first, second, second)]
    stub = wallet_pb2_grpc.WalletServiceStub(platform.channels["vouchers"])

    async def listed(**wanted: Any) -> list[str]:
        request = wallet_pb2.ListMyVouchersRequest(with_total=True, **wanted)
        reply = await stub.ListMyVouchers(request, metadata=bearer(member.token))
        assert reply.total.count == len(reply.vouchers)
        return [one.id for one in reply.vouchers]

    assert await listed(state=USABLE) == ids[::-1], "none was ever shown"
    assert await listed(voucher_id=first.id) == [ids[0]]
    assert await listed(state=USED) == []
    mine = await stub.GetMyVoucher(
        wallet_pb2.GetMyVoucherRequest(wallet_voucher_id=ids[1]), metadata=bearer(member.token)
    )
    redeem = code_pb2.RedeemCodeRequest(code=mine.voucher.code, sale_reference=str(new_id()))
    codes = code_pb2_grpc.CodeServiceStub(platform.channels["promos"])
    await codes.RedeemCode(redeem, metadata=bearer(await platform.till()))

    async def told() -> None:
        assert await listed(state=USED) == [ids[1]]
        assert await listed(state=USABLE) == [ids[2], ids[0]]
        assert await listed(state=USABLE, voucher_id=second.id) == [ids[2]]

    await eventually(told)


@pytest.fixture(scope="module")
async def many(platform: Platform) -> AsyncIterator[Database]:
    """20,000 vouchers of 2,000 members, all given to and by one another."""
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
          id, title, description, face_value_minor, currency_code, price_points, quantity, sale_starts_at
        )
        VALUES (%(id)s, 'x', '', 1, 'USD', 1, 1, now())
        """,
        id=MEMBER,
    )
    await execute(
        connection,
        """
        INSERT INTO orders (id, member_id, idempotency_key, voucher_id, price_points, state, deadline_at)
        SELECT uuidv7(), lpad(to_hex(i %% %(members)s), 32, '0')::uuid, i, %(id)s, 1, 'COMPLETED', now()
        FROM generate_series(1, %(many)s) AS i
        """,
        id=MEMBER,
        many=MANY,
        members=MANY // OWN,
    )
    for statement in (
        """
        INSERT INTO wallet_vouchers (id, order_id, voucher_id, member_id, code_id)
        SELECT uuidv7(), id, voucher_id, member_id, uuidv7() FROM orders
        """,
        """
        INSERT INTO wallet_codes (code_id, code, state, version)
        SELECT code_id, id::text, 'USABLE', 1 FROM wallet_vouchers
        """,
        """
        INSERT INTO gifts (
          id, wallet_voucher_id, voucher_id, order_id, code_id, giver_id, notice_id, recipient_hash,
          recipient_name, message, receiver_id, state, returns_at, ended_at
        )
        SELECT
          uuidv7(), id, voucher_id, order_id, code_id, member_id, order_id,
          CASE WHEN offered THEN uuid_send(member_id) END, '', '', CASE WHEN NOT offered THEN member_id END,
          CASE WHEN offered THEN 'OFFERED' ELSE 'ACCEPTED' END, now(), CASE WHEN NOT offered THEN now() END
        FROM (SELECT *, random() < 0.5 AS offered FROM wallet_vouchers) AS w
        """,
    ):
        await execute(connection, statement)


async def test_a_page_reads_what_is_the_members_alone(many: Database) -> None:
    page = Page(50, "", "x")
    for wanted in ({}, {"state": "USABLE"}, {"state": "USED"}, {"voucher_id": MEMBER}):
        assert await rows_read(many, WALLET.page, page=page, member_id=MEMBER, **wanted) < 100, wanted
    assert await rows_read(many, owned_coupons, member_id=MEMBER, limit=200) < 100
    for listing, whose in (
        (GIVEN, {"giver_id": MEMBER}),
        (GIVEN, {"giver_id": MEMBER, "state": "RETURNED"}),
        (OFFERED_TO, {"recipient_hash": MEMBER.bytes}),
        (ACCEPTED_BY, {"receiver_id": MEMBER}),
    ):
        assert await rows_read(many, listing.page, page=page, **whose) < 100, whose
