"""The list of what staff changed, in every service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import grpc
import orjson
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from scrip.common.v1 import money_pb2
from scrip.identity.internal.v1 import identity_pb2, identity_pb2_grpc
from scrip.identity.v1 import (
    audit_pb2,
    audit_pb2_grpc,
    client_pb2,
    client_pb2_grpc,
    staff_pb2,
    staff_pb2_grpc,
)
from scrip.promos.v1 import campaign_pb2, campaign_pb2_grpc, code_pb2
from scrip.vouchers.v1 import catalogue_pb2, catalogue_pb2_grpc

from services.common import migrations
from services.common.db import Connection, Database, execute, fetch_value
from services.common.errors import DomainError
from services.common.ids import new_id
from services.common.paging import Page
from services.identity.audit import queries as audit
from services.identity.audit.queries import AuditFilter, list_audit_entries
from services.identity.tests.staff_help import create_staff
from tests.inprocess import Platform, bearer, eventually, reason, refused_status

Stub = audit_pb2_grpc.AuditServiceStub
NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)
FAR_OFF = datetime(2100, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
MANY = 100_000


@pytest.fixture(scope="module")
def grpc_stub_cls() -> type[Stub]:
    return Stub


@pytest.fixture
async def admin(platform: Platform) -> list[tuple[str, str]]:
    """An admin's metadata."""
    return bearer(await platform.admin())


def moment(value: datetime) -> Timestamp:
    encoded = Timestamp()
    encoded.FromDatetime(value)
    return encoded


def wanted(**fields: Any) -> audit_pb2.ListAuditEntriesRequest:
    """Returns a request with these fields; `from_` stands for `from`."""
    return audit_pb2.ListAuditEntriesRequest(**{name.rstrip("_"): value for name, value in fields.items()})


def entry(**fields: Any) -> identity_pb2.RecordAuditRequest:
    """Returns an entry as another service sends it, with other fields if given."""
    values: dict[str, Any] = {
        "entry_id": str(new_id()),
        "service": "vouchers",
        "actor_id": str(new_id()),
        "actor_role": "manager",
        "action": "voucher.created",
        "target_id": str(new_id()),
        "occurred_at": moment(NOON),
        "details_json": "{}",
    }
    return identity_pb2.RecordAuditRequest(**values | fields)


async def record(platform: Platform, *entries: identity_pb2.RecordAuditRequest) -> None:
    """Has identity keep entries of another service, one after the other."""
    stub = identity_pb2_grpc.IdentityInternalServiceStub(platform.channels["identity"])
    for each in entries:
        await stub.RecordAudit(each, metadata=bearer(await platform.service_token(each.service)))


async def ids(stub: Stub, admin: list[tuple[str, str]], **fields: Any) -> list[str]:
    """Returns the ids of all entries that a request finds, page after page."""
    found: list[str] = []
    token = ""
    while True:
        reply = await stub.ListAuditEntries(wanted(**fields, page_token=token), metadata=admin)
        found += [each.id for each in reply.entries]
        token = reply.next_page_token
        if not token:
            return found


@pytest.mark.covers("I6 AuditService.ListAuditEntries")
async def test_what_staff_do_in_any_service_is_listed_with_who_and_what(
    grpc_stub: Stub, grpc_channel: grpc.aio.Channel, platform: Platform, admin: list[tuple[str, str]]
) -> None:
    actor = str(new_id())
    acting = bearer(await platform.token("admin", actor), idempotency_key=str(new_id()))
    clients = client_pb2_grpc.ClientServiceStub(grpc_channel)
    till = await clients.CreateClient(
        client_pb2.CreateClientRequest(display_name=f"Till {new_id()}"), metadata=acting
    )
    staff = await create_staff(grpc_channel, dict(acting)["authorization"].removeprefix("Bearer "))
    changing = staff_pb2_grpc.StaffServiceStub(grpc_channel)
    await changing.DisableStaff(staff_pb2.DisableStaffRequest(staff_id=staff.id), metadata=acting)
    catalogue = catalogue_pb2_grpc.CatalogueServiceStub(platform.channels["vouchers"])
    voucher = await catalogue.CreateVoucher(
        catalogue_pb2.CreateVoucherRequest(
            title="$5 off",
            face_value=money_pb2.Money(currency_code="USD", amount_minor=500),
            price_points=500,
            quantity=1,
        ),
        metadata=acting,
    )
    campaigns = campaign_pb2_grpc.CampaignServiceStub(platform.channels["promos"])
    campaign = await campaigns.CreateCampaign(
        campaign_pb2.CreateCampaignRequest(
            name="First 3",
            places=3,
            benefit=code_pb2.Benefit(percent_off=30),
            starts_at=moment(FAR_OFF),
            ends_at=moment(FAR_OFF + HOUR),
        ),
        metadata=acting,
    )
    expected = {
        ("identity", "client.created", till.client.id),
        ("identity", "staff.created", staff.id),
        ("identity", "staff.disabled", staff.id),
        ("vouchers", "voucher.created", voucher.voucher.id),
        ("promos", "campaign.created", campaign.campaign.id),
    }

    async def all_listed() -> Sequence[audit_pb2.AuditEntry]:
        reply = await grpc_stub.ListAuditEntries(wanted(actor_id=actor), metadata=admin)
        assert {(each.service, each.action, each.target_id) for each in reply.entries} == expected
        return reply.entries

    entries = await eventually(all_listed)
    assert len(entries) == len(expected)
    for each in entries:
        assert (each.actor_id, each.actor_role) == (actor, "admin")
        assert abs(each.occurred_at.ToDatetime(UTC) - datetime.now(UTC)) < timedelta(seconds=60)
        assert isinstance(orjson.loads(each.details_json), dict)
    times = [each.occurred_at.ToNanoseconds() for each in entries]
    assert times == sorted(times, reverse=True)


@pytest.mark.covers("I6 AuditService.ListAuditEntries")
async def test_each_filter_narrows_the_list_and_they_combine(
    grpc_stub: Stub, platform: Platform, admin: list[tuple[str, str]]
) -> None:
    actor, other = str(new_id()), str(new_id())
    action, target = f"a.{new_id()}", str(new_id())
    base = entry(actor_id=actor, action=action, target_id=target)
    kept = {
        "base": base,
        "actor": entry(actor_id=other, action=action, target_id=target),
        "action": entry(actor_id=actor, action=f"{action}x", target_id=target),
        "target": entry(actor_id=actor, action=action),
        "service": entry(actor_id=actor, action=action, target_id=target, service="promos"),
        "time": entry(actor_id=actor, action=action, target_id=target, occurred_at=moment(NOON + HOUR)),
    }
    await record(platform, *kept.values())
    names = {each.entry_id: name for name, each in kept.items()}

    async def found(**fields: Any) -> set[str]:
        return {names[each] for each in await ids(grpc_stub, admin, **fields)}

    everything = set(kept)
    assert await found(actor_id=actor) == everything - {"actor"}
    assert await found(action=action) == everything - {"action"}
    assert await found(target_id=target) == everything - {"target"}
    assert await found(target_id=target, service="vouchers") == everything - {"target", "service"}
    at_noon = {"from_": moment(NOON), "until": moment(NOON + HOUR)}
    assert await found(target_id=target, **at_noon) == everything - {"target", "time"}
    all_filters: dict[str, Any] = {"actor_id": actor, "action": action, "target_id": target}
    assert await found(**all_filters, service="vouchers", **at_noon) == {"base"}
    assert await found(actor_id=actor, service="nobody") == set()
    assert await found(actor_id=actor.upper()) == set()


async def test_from_is_in_the_window_and_until_is_not(
    grpc_stub: Stub, platform: Platform, admin: list[tuple[str, str]]
) -> None:
    target = str(new_id())
    tick = timedelta(microseconds=1)
    times = [NOON - tick, NOON, NOON + HOUR - tick, NOON + HOUR]
    kept = [entry(target_id=target, occurred_at=moment(time)) for time in times]
    await record(platform, *kept)
    before, first, last, after = (each.entry_id for each in kept)
    window = {"from_": moment(NOON), "until": moment(NOON + HOUR)}
    assert await ids(grpc_stub, admin, target_id=target, **window) == [last, first]
    assert await ids(grpc_stub, admin, target_id=target, from_=moment(NOON)) == [after, last, first]
    assert await ids(grpc_stub, admin, target_id=target, until=moment(NOON)) == [before]


@pytest.mark.covers("I6 AuditService.ListAuditEntries")
async def test_pages_hold_each_entry_once_newest_first_while_more_arrive(
    grpc_stub: Stub, platform: Platform, admin: list[tuple[str, str]]
) -> None:
    target = str(new_id())
    # Some happened in the same instant, and some arrive long after what happened later.
    kept = [entry(target_id=target, occurred_at=moment(NOON + n // 3 * HOUR)) for n in range(20)]
    await record(platform, *kept[10:], *kept[:10])
    expected = [
        each.entry_id
        for each in sorted(kept, key=lambda each: (each.occurred_at.seconds, each.entry_id), reverse=True)
    ]
    found: list[str] = []
    token = ""
    while True:
        request = wanted(target_id=target, page_size=3, page_token=token)
        reply = await grpc_stub.ListAuditEntries(request, metadata=admin)
        found += [each.id for each in reply.entries]
        token = reply.next_page_token
        if not token:
            break
        assert len(reply.entries) == 3
        newer = entry(target_id=target, occurred_at=moment(NOON + 100 * HOUR))
        await record(platform, newer)
    assert found == expected


@pytest.mark.covers("I6 IdentityInternalService.RecordAudit")
async def test_an_entry_sent_again_and_again_is_kept_once(
    grpc_stub: Stub, platform: Platform, admin: list[tuple[str, str]]
) -> None:
    target = str(new_id())
    sent = entry(target_id=target, details_json='{"title": "$5 off"}')
    await asyncio.gather(*(record(platform, sent) for _ in range(50)))
    reply = await grpc_stub.ListAuditEntries(wanted(target_id=target), metadata=admin)
    [kept] = reply.entries
    assert kept == audit_pb2.AuditEntry(
        id=sent.entry_id,
        service="vouchers",
        actor_id=sent.actor_id,
        actor_role="manager",
        action="voucher.created",
        target_id=target,
        occurred_at=moment(NOON),
        details_json='{"title":"$5 off"}',
    )


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"page_size": -1}, "page_size"),
        ({"page_size": 201}, "page_size"),
        ({"page_token": "x" * 513}, "page_token"),
        ({"actor_id": "x" * 65}, "actor_id"),
        ({"action": "x" * 65}, "action"),
        ({"target_id": "x" * 65}, "target_id"),
        ({"service": "x" * 33}, "service"),
        ({"from_": moment(NOON), "until": moment(NOON)}, "until"),
        ({"from_": moment(NOON), "until": moment(NOON - HOUR)}, "until"),
        ({"from_": Timestamp(seconds=10**15)}, "from"),
        ({"until": Timestamp(seconds=-(10**15))}, "until"),
        ({"actor_id": "a\0b"}, ""),
    ],
)
async def test_a_request_that_breaks_a_rule_is_refused_with_the_field(
    grpc_stub: Stub, admin: list[tuple[str, str]], fields: dict[str, Any], field: str
) -> None:
    status, code = await refused_status(grpc_stub.ListAuditEntries(wanted(**fields), metadata=admin))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "VALIDATION_FAILED" in str(status)
    assert field in str(status)


async def test_a_page_token_goes_with_its_filters_only(
    grpc_stub: Stub, platform: Platform, admin: list[tuple[str, str]]
) -> None:
    actor = str(new_id())
    await record(platform, entry(actor_id=actor), entry(actor_id=actor))
    fields = {"actor_id": actor, "from_": moment(NOON), "page_size": 1}
    first = await grpc_stub.ListAuditEntries(wanted(**fields), metadata=admin)
    assert first.next_page_token
    others: list[dict[str, Any]] = [
        {"actor_id": str(new_id())},
        {"action": "voucher.created"},
        {"service": "vouchers"},
        {"until": moment(NOON + HOUR)},
        {"from_": moment(NOON - HOUR)},
    ]
    for other in others:
        request = wanted(**fields | other, page_token=first.next_page_token)
        assert await reason(grpc_stub.ListAuditEntries(request, metadata=admin)) == "PAGE_TOKEN_NOT_VALID"
    for token in ("?", "e30", first.next_page_token[:-4]):
        request = wanted(**fields, page_token=token)
        assert await reason(grpc_stub.ListAuditEntries(request, metadata=admin)) == "PAGE_TOKEN_NOT_VALID"


@pytest.mark.parametrize(
    "position",
    [
        "",
        "x",
        "2024-02-29T12:00:00+00:00",
        f"2024-02-29T12:00:00 {UUID(int=1)}",
        "2024-02-29T12:00:00+00:00 x",
    ],
)
def test_a_position_that_no_entry_has_is_refused(position: str) -> None:
    token = Page(1, "", "audit").cut([0, 1], lambda _: position)[1]
    with pytest.raises(DomainError, match="PAGE_TOKEN_NOT_VALID"):
        Page(1, token, "audit").after(audit._position)


async def test_only_admins_see_the_list(grpc_stub: Stub, platform: Platform) -> None:
    assert await reason(grpc_stub.ListAuditEntries(wanted())) == "TOKEN_MISSING"
    for role in ("till", "manager", "cashier", "brand_manager", "member"):
        call = grpc_stub.ListAuditEntries(wanted(), metadata=bearer(await platform.token(role)))
        assert await reason(call) == "ROLE_NOT_ALLOWED"


@pytest.fixture(scope="module")
async def crowded(platform: Platform) -> AsyncIterator[Database]:
    """Identity's database with very many entries, of few actors, actions and services."""
    name = f"audit_{new_id().hex}"
    platform.postgres.create_database(name)
    url = platform.postgres.url(name)
    await asyncio.to_thread(migrations.upgrade, "identity", url)
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
        (AuditFilter(), 110),
        (AuditFilter(actor_id="actor-7"), 110),
        (AuditFilter(action="action-7"), 110),
        (AuditFilter(target_id=f"target-{MANY // 2}"), 9),
        (AuditFilter(service="points"), 110),
        (AuditFilter(since=NOON, until=NOON + HOUR), 110),
        (AuditFilter(since=MIDDLE, until=MIDDLE + HOUR), 110),
        (AuditFilter(actor_id="actor-7", until=MIDDLE), 110),
        (AuditFilter(actor_id="nobody"), 9),
    ],
)
async def test_a_page_costs_the_same_however_long_the_list_is(
    crowded: Database, filters: AuditFilter, reads: int
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
        rows, token = await list_audit_entries(connection, page, filters)
        if token:
            more, _ = await list_audit_entries(connection, Page(50, token, "audit"), filters)
            assert not {row.id for row in rows} & {row.id for row in more}
        return await rows_read(connection) - before

    assert await crowded.run(cost) <= reads
