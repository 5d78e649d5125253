"""Who looked members up: kept, listed, forgotten."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from google.protobuf import timestamp_pb2
from scrip.common.v1 import list_pb2, permission_pb2
from scrip.identity.v1 import look_up_pb2, look_up_pb2_grpc

from services.common.db import Connection, execute, fetch_value
from services.common.ids import new_id, utc_now
from services.common.paging import Page
from services.identity.look_ups import forget_old_look_ups
from services.identity.look_ups.queries import LOOK_UPS
from services.identity.look_ups.tests.test_look_ups import look
from services.identity.members.tests.test_member_lists import Explaining
from services.identity.tests.people import People, outcomes
from tests.inprocess import Platform, bearer, new_phone, reason

Stub = look_up_pb2_grpc.LookUpServiceStub


@pytest.fixture(scope="module")
def grpc_stub_cls() -> type[Stub]:
    return Stub


@pytest.fixture(scope="module")
async def till(platform: Platform) -> str:
    return await platform.token("till", new_id())


@pytest.fixture
async def admin(platform: Platform) -> list[tuple[str, str]]:
    """An admin's metadata."""
    return bearer(await platform.admin())


async def listed(stub: Stub, admin: list[tuple[str, str]], **fields: Any) -> look_up_pb2.ListLookUpsResponse:
    return await stub.ListLookUps(look_up_pb2.ListLookUpsRequest(**fields), metadata=admin)


@pytest.mark.covers("P9 LookUpService.ListLookUps")
async def test_each_look_up_is_listed_with_who_looked_and_how(
    grpc_stub: Stub, platform: Platform, admin: list[tuple[str, str]]
) -> None:
    member, till_id, cashier_id = await platform.member(), new_id(), new_id()
    till, cashier = await platform.token("till", till_id), await platform.token("cashier", cashier_id)
    await look(grpc_stub, till, phone=member.phone)
    await look(grpc_stub, cashier, member_code=member.code)
    await outcomes([look(grpc_stub, till, phone=new_phone())])
    reply = await listed(grpc_stub, admin, member_id=str(member.id), order_by="looked_up_at", with_total=True)
    assert [(one.caller_id, one.caller_role, one.method, one.member_id) for one in reply.look_ups] == [
        (str(till_id), permission_pb2.ROLE_TILL, look_up_pb2.LOOK_UP_METHOD_PHONE, str(member.id)),
        (
            str(cashier_id),
            permission_pb2.ROLE_CASHIER,
            look_up_pb2.LOOK_UP_METHOD_MEMBER_CODE,
            str(member.id),
        ),
    ]
    assert reply.total == list_pb2.ListTotal(count=2)
    first, second = reply.look_ups
    newest = await listed(grpc_stub, admin, member_id=str(member.id))
    assert list(newest.look_ups) == [second, first]
    assert list((await listed(grpc_stub, admin, caller_id=str(till_id))).look_ups) == [first]
    window = {"looked_up_from": second.looked_up_at, "member_id": str(member.id)}
    assert list((await listed(grpc_stub, admin, **window)).look_ups) == [second]
    window = {"looked_up_until": second.looked_up_at, "member_id": str(member.id)}
    assert list((await listed(grpc_stub, admin, **window)).look_ups) == [first]


@pytest.mark.parametrize(
    "fields",
    [
        {"member_id": "me"},
        {"caller_id": "x"},
        {"order_by": "member_id"},
        {"page_size": 201},
        {
            "looked_up_from": timestamp_pb2.Timestamp(seconds=2),
            "looked_up_until": timestamp_pb2.Timestamp(seconds=2),
        },
    ],
)
async def test_a_malformed_list_is_refused(
    grpc_stub: Stub, admin: list[tuple[str, str]], fields: dict[str, Any]
) -> None:
    assert await reason(listed(grpc_stub, admin, **fields)) == "VALIDATION_FAILED"


async def test_look_ups_are_forgotten_after_90_days(
    grpc_stub: Stub, people: People, platform: Platform, till: str, admin: list[tuple[str, str]]
) -> None:
    member = await platform.member()
    for _ in range(2):
        await look(grpc_stub, till, phone=member.phone)
    oldest = (await listed(grpc_stub, admin, member_id=str(member.id))).look_ups[1]
    await people.execute(
        "identity",
        "UPDATE look_ups SET looked_up_at = now() - interval '91 days' WHERE id = %(id)s",
        id=oldest.id,
    )
    await platform.databases["identity"].run(forget_old_look_ups)
    left = (await listed(grpc_stub, admin, member_id=str(member.id))).look_ups
    assert [one.id for one in left] != [oldest.id]
    assert len(left) == 1


async def _count(connection: Connection) -> int:
    return int(await fetch_value(connection, "SELECT count(*) FROM look_ups"))


async def test_a_refused_look_up_is_not_kept(grpc_stub: Stub, platform: Platform, till: str) -> None:
    before = await platform.databases["identity"].read(_count)
    await outcomes([look(grpc_stub, till, phone=new_phone()), look(grpc_stub, till, phone="x" * 9)])
    assert await platform.databases["identity"].read(_count) == before


@pytest.mark.covers("P9 LookUpService.ListLookUps")
@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ({}, "ix_look_ups_looked_up_at"),
        ({"looked_up_until": utc_now() - timedelta(hours=9)}, "ix_look_ups_looked_up_at"),
        ({"member_id": new_id()}, "ix_look_ups_member_id"),
        ({"caller_id": new_id()}, "ix_look_ups_caller_id"),
    ],
)
@pytest.mark.parametrize("order_by", ["looked_up_at", "looked_up_at desc"])
async def test_a_page_reads_an_index_and_not_the_table(
    platform: Platform, wanted: dict[str, Any], index: str, order_by: str
) -> None:
    class EnoughError(Exception):
        """Takes back the crowd."""

    async def explain(connection: Connection) -> None:
        await execute(
            connection,
            """
            INSERT INTO look_ups (id, looked_up_at, caller_id, caller_role, member_id, method)
            SELECT
              gen_random_uuid(), now() - n * interval '1 second', gen_random_uuid(), 'till',
              gen_random_uuid(), 'PHONE'
            FROM generate_series(1, 30000) n
            """,
        )
        await execute(connection, "ANALYZE look_ups")
        Explaining.plans.clear()
        connection.cursor_factory = Explaining
        try:
            await LOOK_UPS.page(connection, Page(10, "", "x"), order_by=order_by, **wanted)
        finally:
            connection.cursor_factory = psycopg.AsyncCursor
        raise EnoughError

    with pytest.raises(EnoughError):
        await platform.databases["identity"].run(explain)
    [plan] = Explaining.plans
    assert index in plan
    assert "Seq Scan" not in plan
    assert "Sort" not in plan
