"""The list of what staff changed at size: sorted, counted, exported, and what its pages cost."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from scrip.common.v1 import list_pb2
from scrip.identity.v1 import audit_pb2, audit_pb2_grpc

from services.common.db import Connection, Database, execute, fetch_value
from services.common.ids import new_id
from services.common.paging import Page
from services.identity.audit.queries import AUDIT_ENTRIES
from services.identity.audit.tests.test_audit import entry, moment, record
from tests.databases import new_database
from tests.inprocess import Platform, bearer, reason

Stub = audit_pb2_grpc.AuditServiceStub
NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MANY = 100_000


@pytest.fixture(scope="module")
def grpc_stub_cls() -> type[Stub]:
    return Stub


@pytest.mark.covers("I6 AuditService.ListAuditEntries")
async def test_entries_are_sorted_by_time_either_way_round_and_counted(
    grpc_stub: Stub, platform: Platform
) -> None:
    actor, admin = str(new_id()), bearer(await platform.admin())
    kept = [entry(actor_id=actor, occurred_at=moment(NOON + n * HOUR)) for n in range(5)]
    await record(platform, *kept)
    ids = [each.entry_id for each in kept]

    async def listed(order_by: str, size: int = 200) -> audit_pb2.ListAuditEntriesResponse:
        request = audit_pb2.ListAuditEntriesRequest(
            actor_id=actor, order_by=order_by, page_size=size, with_total=size == 1
        )
        return await grpc_stub.ListAuditEntries(request, metadata=admin)

    assert [each.id for each in (await listed("occurred_at")).entries] == ids
    assert [each.id for each in (await listed("occurred_at desc")).entries] == ids[::-1]
    assert [each.id for each in (await listed("")).entries] == ids[::-1]
    assert (await listed("", size=1)).total == list_pb2.ListTotal(count=5)
    assert not (await listed("")).HasField("total")


@pytest.mark.covers("I6 AuditService.ExportAuditEntries")
async def test_an_export_has_all_entries_and_an_end(grpc_stub: Stub, platform: Platform) -> None:
    actor, admin_id = str(new_id()), new_id()
    admin = bearer(await platform.token("admin", admin_id))
    kept = [
        entry(actor_id=actor, occurred_at=moment(NOON + n * HOUR), details_json=f'{{"n":{n}}}')
        for n in range(3)
    ]
    await record(platform, *kept)
    request = audit_pb2.ExportAuditEntriesRequest(actor_id=actor, order_by="occurred_at")
    stream = grpc_stub.ExportAuditEntries(request, metadata=admin)
    content = b"".join([piece.data async for piece in stream])
    header, *rows, end = csv.reader(io.StringIO(content.decode("utf-8-sig")))
    shown = [dict(zip(header, row, strict=True)) for row in rows]
    assert [row["id"] for row in shown] == [each.entry_id for each in kept]
    assert [row["details"] for row in shown] == ['{"n":0}', '{"n":1}', '{"n":2}']
    assert shown[0]["occurred_at"] == NOON.isoformat()
    assert shown[0]["actor_role"] == "manager"
    assert end == ["#end", "3"]
    reply = await grpc_stub.ListAuditEntries(
        audit_pb2.ListAuditEntriesRequest(actor_id=str(admin_id)), metadata=admin
    )
    [kept_export] = reply.entries
    assert kept_export.action == "audit.exported"
    assert MessageToDict(kept_export.details) == {"filters": {"actor_id": actor}}


@pytest.mark.covers("I6 AuditService.ExportAuditEntries")
async def test_only_admins_export_the_list(grpc_stub: Stub, platform: Platform) -> None:
    for role in ("till", "manager", "cashier", "brand_manager", "member"):
        stream = grpc_stub.ExportAuditEntries(
            audit_pb2.ExportAuditEntriesRequest(), metadata=bearer(await platform.token(role))
        )
        assert await reason(stream.read()) == "ROLE_NOT_ALLOWED"


@pytest.fixture(scope="module")
async def crowded(platform: Platform) -> AsyncIterator[Database]:
    """Identity's database with very many entries, of few actors, actions and services."""
    url = await new_database(platform.postgres, "identity")
    database = Database(url, pool_size=1)

    async def fill(connection: Connection) -> None:
        await execute(connection, "SET LOCAL statement_timeout = '60s'")
        await execute(
            connection,
            """
            INSERT INTO audit_entries
              (id, service, actor_id, actor_role, action, target_id, occurred_at, details)
            SELECT
              gen_random_uuid(), CASE WHEN n %% 1000 = 0 THEN 'points' ELSE 'vouchers' END,
              'actor-' || n %% 50, 'manager', 'action-' || n %% 20, 'target-' || n,
              %(noon)s::timestamptz + make_interval(secs => n), '{}'
            FROM generate_series(1, %(many)s) AS n
            """,
            noon=NOON,
            many=MANY,
        )

    async def analyze(connection: Connection) -> None:
        await execute(connection, "ANALYZE audit_entries")

    await database.run(fill)
    await database.run(analyze)
    yield database
    await database.close()


MIDDLE = NOON + timedelta(seconds=MANY // 2)


@pytest.mark.parametrize(
    ("filters", "reads"),
    [
        ({}, 110),
        ({"actor_id": "actor-7"}, 110),
        ({"action": "action-7"}, 110),
        ({"target_id": f"target-{MANY // 2}"}, 9),
        ({"service": "points"}, 110),
        ({"occurred_from": NOON, "occurred_until": NOON + HOUR}, 110),
        ({"occurred_from": MIDDLE, "occurred_until": MIDDLE + HOUR}, 110),
        ({"actor_id": "actor-7", "occurred_until": MIDDLE}, 110),
        ({"actor_id": "nobody"}, 9),
    ],
)
@pytest.mark.parametrize("order_by", ["occurred_at desc", "occurred_at"])
async def test_a_page_costs_the_same_however_long_the_list_is(
    crowded: Database, filters: dict[str, Any], reads: int, order_by: str
) -> None:
    async def rows_read(connection: Connection) -> int:
        """Returns what this connection has read of the table; a sequential scan reads it all."""
        return int(
            await fetch_value(
                connection,
                """
                SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables
                WHERE relname = 'audit_entries'
                """,
            )
        )

    async def cost(connection: Connection) -> int:
        """Returns what two pages read, and a few rows at which the planner looks."""
        await execute(connection, "SET LOCAL max_parallel_workers_per_gather = 0")
        before = await rows_read(connection)
        page = Page(50, "", "audit")
        rows, token = await AUDIT_ENTRIES.page(connection, page, order_by=order_by, **filters)
        if token:
            second = Page(50, token, "audit")
            more, _ = await AUDIT_ENTRIES.page(connection, second, order_by=order_by, **filters)
            assert not {row.id for row in rows} & {row.id for row in more}
        return await rows_read(connection) - before

    assert await crowded.run(cost) <= reads
