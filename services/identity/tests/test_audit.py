"""What staff changed, in whatever service, in one list."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import grpc
import orjson
import pytest
from scrip.common.v1 import money_pb2
from scrip.identity.internal.v1 import identity_pb2, identity_pb2_grpc
from scrip.identity.v1 import audit_pb2, audit_pb2_grpc, client_pb2, client_pb2_grpc
from scrip.promos.v1 import campaign_pb2, campaign_pb2_grpc, code_pb2
from scrip.vouchers.v1 import catalogue_pb2, catalogue_pb2_grpc

from services.common.auth import ADMIN, MANAGER
from services.common.encoding import timestamp
from services.common.ids import new_id, utc_now
from tests.inprocess import Platform, bearer, eventually, reason


@pytest.fixture(scope="module")
def grpc_stub_cls() -> type[audit_pb2_grpc.AuditServiceStub]:
    return audit_pb2_grpc.AuditServiceStub


@pytest.fixture(scope="module")
def internal(grpc_channel: grpc.aio.Channel) -> identity_pb2_grpc.IdentityInternalServiceStub:
    """What the other services use."""
    return identity_pb2_grpc.IdentityInternalServiceStub(grpc_channel)


def entry(**values: Any) -> identity_pb2.RecordAuditRequest:
    """An entry of vouchers, good but for what is given."""
    good: dict[str, Any] = {
        "entry_id": str(new_id()),
        "service": "vouchers",
        "actor_id": str(new_id()),
        "actor_role": "manager",
        "action": "voucher.created",
        "target_id": str(new_id()),
        "occurred_at": timestamp(utc_now()),
        "details_json": '{"title": "Coupon"}',
    }
    return identity_pb2.RecordAuditRequest(**good | values)


async def listed(
    stub: audit_pb2_grpc.AuditServiceStub, platform: Platform, **filters: Any
) -> list[audit_pb2.AuditEntry]:
    """All entries that a filter lets through, from pages of three."""
    metadata = bearer(await platform.admin())
    found: list[audit_pb2.AuditEntry] = []
    token = ""
    while True:
        request = audit_pb2.ListAuditEntriesRequest(page_size=3, page_token=token, **filters)
        page = await stub.ListAuditEntries(request, metadata=metadata)
        found += page.entries
        token = page.next_page_token
        if not token:
            return found


async def test_a_change_is_in_the_list_with_who_did_what_to_whom(
    grpc_stub: audit_pb2_grpc.AuditServiceStub, platform: Platform
) -> None:
    actor = new_id()
    clients = client_pb2_grpc.ClientServiceStub(platform.channels["identity"])
    name = f"Till {new_id()}"
    made = await clients.CreateClient(
        client_pb2.CreateClientRequest(display_name=name), metadata=bearer(await platform.token(ADMIN, actor))
    )
    [found] = await listed(grpc_stub, platform, actor_id=str(actor))
    assert UUID(found.id).version == 7
    assert (found.service, found.actor_role, found.action) == ("identity", "admin", "client.created")
    assert found.target_id == made.client.id
    assert orjson.loads(found.details_json) == {"display_name": name}
    assert abs(found.occurred_at.seconds - made.client.created_at.seconds) <= 1


async def test_a_refused_change_leaves_no_entry(
    grpc_stub: audit_pb2_grpc.AuditServiceStub, platform: Platform
) -> None:
    actor = new_id()
    clients = client_pb2_grpc.ClientServiceStub(platform.channels["identity"])
    metadata = bearer(await platform.token(ADMIN, actor))
    request = client_pb2.CreateClientRequest(display_name=f"Till {new_id()}")
    await clients.CreateClient(request, metadata=metadata)
    assert await reason(clients.CreateClient(request, metadata=metadata)) == "CLIENT_NAME_TAKEN"
    assert len(await listed(grpc_stub, platform, actor_id=str(actor))) == 1


async def test_changes_in_other_services_arrive_once(
    grpc_stub: audit_pb2_grpc.AuditServiceStub, platform: Platform
) -> None:
    actor = new_id()
    metadata = bearer(await platform.token(MANAGER, actor))
    vouchers = catalogue_pb2_grpc.CatalogueServiceStub(platform.channels["vouchers"])
    voucher = await vouchers.CreateVoucher(
        catalogue_pb2.CreateVoucherRequest(
            title="Coupon",
            face_value=money_pb2.Money(currency_code="USD", amount_minor=500),
            price_points=1,
            quantity=1,
        ),
        metadata=metadata,
    )
    campaigns = campaign_pb2_grpc.CampaignServiceStub(platform.channels["promos"])
    campaign = await campaigns.CreateCampaign(
        campaign_pb2.CreateCampaignRequest(name="x", places=1, benefit=code_pb2.Benefit(percent_off=1)),
        metadata=metadata,
    )
    campaign_id = campaign.campaign.id
    await campaigns.EndCampaign(campaign_pb2.EndCampaignRequest(campaign_id=campaign_id), metadata=metadata)

    async def arrived() -> None:
        entries = await listed(grpc_stub, platform, actor_id=str(actor))
        assert sorted((e.service, e.action, e.target_id) for e in entries) == [
            ("promos", "campaign.created", campaign_id),
            ("promos", "campaign.ended", campaign_id),
            ("vouchers", "voucher.created", voucher.voucher.id),
        ]
        assert {e.actor_role for e in entries} == {"manager"}

    await eventually(arrived, seconds=10)


async def test_an_entry_that_comes_again_is_kept_once_as_it_came_first(
    grpc_stub: audit_pb2_grpc.AuditServiceStub,
    internal: identity_pb2_grpc.IdentityInternalServiceStub,
    platform: Platform,
) -> None:
    first = entry()
    again = entry(entry_id=first.entry_id, actor_id=first.actor_id, action="voucher.changed")
    metadata = bearer(await platform.service_token("vouchers"))
    await asyncio.gather(*(internal.RecordAudit(first, metadata=metadata) for _ in range(10)))
    await internal.RecordAudit(again, metadata=metadata)
    [found] = await listed(grpc_stub, platform, actor_id=first.actor_id)
    assert (found.id, found.action) == (first.entry_id, "voucher.created")
    assert found.occurred_at.ToMicroseconds() == first.occurred_at.ToMicroseconds()


@pytest.mark.parametrize("details", ["", "{}"])
async def test_details_may_be_missing(
    grpc_stub: audit_pb2_grpc.AuditServiceStub,
    internal: identity_pb2_grpc.IdentityInternalServiceStub,
    platform: Platform,
    details: str,
) -> None:
    sent = entry(details_json=details)
    await internal.RecordAudit(sent, metadata=bearer(await platform.service_token("promos")))
    [found] = await listed(grpc_stub, platform, target_id=sent.target_id)
    assert found.details_json == "{}"


@pytest.mark.parametrize("details", ["nonsense", "[1]", "7", '"text"', "null"])
async def test_details_that_are_no_object_are_refused(
    internal: identity_pb2_grpc.IdentityInternalServiceStub, platform: Platform, details: str
) -> None:
    call = internal.RecordAudit(
        entry(details_json=details), metadata=bearer(await platform.service_token("promos"))
    )
    assert await reason(call) == "VALIDATION_FAILED"


async def test_filters_combine_and_the_newest_comes_first(
    grpc_stub: audit_pb2_grpc.AuditServiceStub,
    internal: identity_pb2_grpc.IdentityInternalServiceStub,
    platform: Platform,
) -> None:
    metadata = bearer(await platform.service_token("vouchers"))
    actors, targets = [str(new_id()) for _ in range(2)], [str(new_id()) for _ in range(2)]
    made = [
        entry(actor_id=actor, target_id=target, action=action)
        for actor in actors
        for target in targets
        for action in ("a.done", "b.done")
    ]
    for each in made:
        await internal.RecordAudit(each, metadata=metadata)
    newest_first = made[::-1]

    async def check(**filters: str) -> int:
        expected = [
            each.entry_id
            for each in newest_first
            if all(getattr(each, name) == value for name, value in filters.items())
        ]
        assert [found.id for found in await listed(grpc_stub, platform, **filters)] == expected
        return len(expected)

    assert await check(actor_id=actors[0]) == 4
    assert await check(target_id=targets[1]) == 4
    assert await check(actor_id=actors[1], action="a.done") == 2
    assert await check(actor_id=actors[0], action="b.done", target_id=targets[0]) == 1
    assert await check(actor_id=actors[0], action="c.done") == 0


async def test_a_page_token_is_of_no_use_under_another_filter(
    grpc_stub: audit_pb2_grpc.AuditServiceStub,
    internal: identity_pb2_grpc.IdentityInternalServiceStub,
    platform: Platform,
) -> None:
    actor = str(new_id())
    metadata = bearer(await platform.service_token("vouchers"))
    for _ in range(2):
        await internal.RecordAudit(entry(actor_id=actor), metadata=metadata)
    admin = bearer(await platform.admin())
    mine = audit_pb2.ListAuditEntriesRequest(page_size=1, actor_id=actor)
    token = (await grpc_stub.ListAuditEntries(mine, metadata=admin)).next_page_token
    assert token
    others = audit_pb2.ListAuditEntriesRequest(page_size=1, page_token=token)
    assert await reason(grpc_stub.ListAuditEntries(others, metadata=admin)) == "PAGE_TOKEN_NOT_VALID"
