"""The list of what staff changed, in every service."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import orjson
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from scrip.common.v1 import money_pb2, permission_pb2
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

from services.common.ids import new_id
from services.identity.tests.staff_help import create_staff
from tests.inprocess import Platform, bearer, eventually, reason, refused_status

Stub = audit_pb2_grpc.AuditServiceStub
NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)
FAR_OFF = datetime(2100, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


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
    """Returns a request with these fields."""
    return audit_pb2.ListAuditEntriesRequest(**fields)


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
        assert (each.actor_id, each.actor_role) == (actor, permission_pb2.ROLE_ADMIN)
        assert abs(each.occurred_at.ToDatetime(UTC) - datetime.now(UTC)) < timedelta(seconds=60)
        assert each.HasField("details")
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
    at_noon = {"occurred_from": moment(NOON), "occurred_until": moment(NOON + HOUR)}
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
    window = {"occurred_from": moment(NOON), "occurred_until": moment(NOON + HOUR)}
    assert await ids(grpc_stub, admin, target_id=target, **window) == [last, first]
    assert await ids(grpc_stub, admin, target_id=target, occurred_from=moment(NOON)) == [after, last, first]
    assert await ids(grpc_stub, admin, target_id=target, occurred_until=moment(NOON)) == [before]


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
        actor_role=permission_pb2.ROLE_MANAGER,
        action="voucher.created",
        target_id=target,
        occurred_at=moment(NOON),
        details=struct({"title": "$5 off"}),
    )


def struct(content: dict[str, Any]) -> Struct:
    encoded = Struct()
    encoded.update(content)
    return encoded


async def test_details_keep_their_shape_and_their_numbers(
    grpc_stub: Stub, platform: Platform, admin: list[tuple[str, str]]
) -> None:
    """Numbers of a Struct are floats: those that would not be exact are texts."""
    target, large = str(new_id()), 2**63 - 1
    content = {
        "places": 3,
        "ends_at": None,
        "enabled": True,
        "names": ["a", "b"],
        "effect": {"percent": 200, "large": large},
        "exact": 2**53,
        "large": [-large],
    }
    await record(platform, entry(target_id=target, details_json=orjson.dumps(content).decode()))
    reply = await grpc_stub.ListAuditEntries(wanted(target_id=target), metadata=admin)
    shown = MessageToDict(reply.entries[0].details)
    assert shown == content | {"effect": {"percent": 200, "large": str(large)}, "large": [str(-large)]}


@pytest.mark.parametrize(
    ("kept", "shown"),
    [
        ("till", permission_pb2.ROLE_TILL),
        ("brand_manager", permission_pb2.ROLE_BRAND_MANAGER),
        ("", permission_pb2.ROLE_UNSPECIFIED),
        ("of old", permission_pb2.ROLE_UNSPECIFIED),
    ],
)
async def test_a_role_that_no_token_has_is_unspecified(
    grpc_stub: Stub,
    platform: Platform,
    admin: list[tuple[str, str]],
    kept: str,
    shown: permission_pb2.Role.ValueType,
) -> None:
    target = str(new_id())
    await record(platform, entry(target_id=target, actor_role=kept))
    reply = await grpc_stub.ListAuditEntries(wanted(target_id=target), metadata=admin)
    assert [each.actor_role for each in reply.entries] == [shown]


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
        ({"occurred_from": moment(NOON), "occurred_until": moment(NOON)}, "occurred_until"),
        ({"occurred_from": moment(NOON), "occurred_until": moment(NOON - HOUR)}, "occurred_until"),
        ({"occurred_from": Timestamp(seconds=10**15)}, "occurred_from"),
        ({"occurred_until": Timestamp(seconds=-(10**15))}, "occurred_until"),
        ({"order_by": "actor_id"}, "order_by"),
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
    fields = {"actor_id": actor, "occurred_from": moment(NOON), "page_size": 1}
    first = await grpc_stub.ListAuditEntries(wanted(**fields), metadata=admin)
    assert first.next_page_token
    others: list[dict[str, Any]] = [
        {"actor_id": str(new_id())},
        {"action": "voucher.created"},
        {"service": "vouchers"},
        {"occurred_until": moment(NOON + HOUR)},
        {"occurred_from": moment(NOON - HOUR)},
    ]
    for other in others:
        request = wanted(**fields | other, page_token=first.next_page_token)
        assert await reason(grpc_stub.ListAuditEntries(request, metadata=admin)) == "PAGE_TOKEN_NOT_VALID"
    for token in ("?", "e30", first.next_page_token[:-4]):
        request = wanted(**fields, page_token=token)
        assert await reason(grpc_stub.ListAuditEntries(request, metadata=admin)) == "PAGE_TOKEN_NOT_VALID"


async def test_only_admins_see_the_list(grpc_stub: Stub, platform: Platform) -> None:
    assert await reason(grpc_stub.ListAuditEntries(wanted())) == "TOKEN_MISSING"
    for role in ("till", "manager", "cashier", "brand_manager", "member"):
        call = grpc_stub.ListAuditEntries(wanted(), metadata=bearer(await platform.token(role)))
        assert await reason(call) == "ROLE_NOT_ALLOWED"
