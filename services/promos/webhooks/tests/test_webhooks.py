"""Brands' webhooks are made, changed and deleted by staff, and by managers of their brand alone."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID

import grpc
import pytest
from google.protobuf import timestamp_pb2
from scrip.promos.v1 import webhook_pb2

from services.common.caller import CASHIER, MANAGER
from services.common.encoding import timestamp
from services.common.ids import new_id, utc_now
from services.promos.tests.support import Promos, at_once, in_days
from services.promos.tests.webhooks_help import FAILED, PENDING, SUCCEEDED, BrandsWebhooks, audit_of
from tests.inprocess import Platform, bearer, reason, refusal
from tests.receiver import Receiver, status

RPCS = [
    *("GetWebhook", "UpdateWebhook", "DeleteWebhook", "PingWebhook", "RotateWebhookSecret"),
    *("ListDeliveries", "GetDelivery", "RedeliverDelivery", "RedeliverFailedDeliveries"),
]


def given(rpc: str) -> dict[str, Any]:
    """Returns what a call about a webhook needs beside it."""
    if rpc in ("GetDelivery", "RedeliverDelivery"):
        return {"delivery_id": str(new_id())}
    return {"since": utc_now()} if rpc == "RedeliverFailedDeliveries" else {}


@pytest.mark.covers(
    "C6 WebhookService.CreateWebhook", "C6 WebhookService.GetWebhook", "C6 WebhookService.ListWebhooks"
)
async def test_a_webhook_is_made_and_read_and_its_secret_shown_once(brand: BrandsWebhooks) -> None:
    made = await brand.created("https://shop.example/hook", description="  Our shop  ")
    webhook = made.webhook
    assert made.secret.startswith("whsec_")
    assert (webhook.url, webhook.description) == ("https://shop.example/hook", "Our shop")
    assert list(webhook.event_types) == ["claim.created"]
    assert webhook.enabled
    assert webhook.brand_id == str(brand.brand_id)
    assert not webhook.HasField("failing_since")
    assert await brand.get(webhook.id) == webhook
    listed = await brand.stub.ListWebhooks(
        webhook_pb2.ListWebhooksRequest(brand_id=str(brand.brand_id), with_total=True),
        metadata=bearer(brand.token),
    )
    assert list(listed.webhooks) == [webhook]
    assert listed.total.count == 1


@pytest.mark.covers("C6 WebhookService.CreateWebhook")
async def test_secrets_are_encrypted_in_the_database(brand: BrandsWebhooks) -> None:
    made = await brand.created()
    kept = await brand.promos.value(
        "SELECT secret FROM webhook_endpoints WHERE id = %(id)s", id=UUID(made.webhook.id)
    )
    plain = base64.b64decode(made.secret.removeprefix("whsec_"))
    assert len(plain) == 32
    assert plain not in kept
    assert made.secret.encode() not in kept
    audited = await audit_of(brand.promos, made.webhook.id)
    assert {one["action"] for one in audited} == {"webhook.created"}
    assert "hook" not in str(audited[0]["details"])
    assert audited[0]["details"]["host"] == "shop.example"


async def test_a_brand_that_is_not_there_gets_no_webhook(promos: Promos) -> None:
    nobody = BrandsWebhooks(promos, new_id(), promos.admin)
    assert await reason(nobody.created()) == "BRAND_NOT_FOUND"


@pytest.mark.covers("C6 WebhookService.UpdateWebhook")
async def test_a_change_touches_what_is_given_and_needs_the_etag_that_was_read(brand: BrandsWebhooks) -> None:
    webhook_id, _ = await brand.create(description="first")
    before = await brand.get(webhook_id)
    changed = (await brand.call("UpdateWebhook", webhook_id, etag=before.etag, clear=["description"])).webhook
    assert (changed.description, changed.url, changed.enabled) == ("", before.url, True)
    stale = brand.call("UpdateWebhook", webhook_id, etag=before.etag, enabled=False)
    assert await reason(stale) == "ETAG_MISMATCH"
    same = (await brand.call("UpdateWebhook", webhook_id, etag=changed.etag, url=before.url)).webhook
    assert same.etag == changed.etag
    moved = (
        await brand.call("UpdateWebhook", webhook_id, url="https://other.example/", enabled=False)
    ).webhook
    assert (moved.url, moved.enabled, list(moved.event_types)) == (
        "https://other.example/",
        False,
        ["claim.created"],
    )


@pytest.mark.covers("C6 WebhookService.DeleteWebhook")
async def test_a_deleted_webhook_is_gone_with_its_secret(brand: BrandsWebhooks) -> None:
    webhook_id, _ = await brand.create()
    stale = brand.call("DeleteWebhook", webhook_id, etag="77")
    assert await reason(stale) == "ETAG_MISMATCH"
    await brand.call("DeleteWebhook", webhook_id)
    for rpc in RPCS:
        assert await reason(brand.call(rpc, webhook_id, **given(rpc))) == "WEBHOOK_NOT_FOUND", rpc
    kept = "SELECT secret || coalesce(old_secret, '') FROM webhook_endpoints WHERE id = %(id)s"
    assert await brand.promos.value(kept, id=UUID(webhook_id)) == b""


@pytest.mark.covers("C6 WebhookService.CreateWebhook")
async def test_fifty_at_once_make_ten(brand: BrandsWebhooks) -> None:
    made, refused = await at_once(brand.created() for _ in range(50))
    assert len(made) == 10
    assert refused == Counter(TOO_MANY_WEBHOOKS=40)
    await brand.call("DeleteWebhook", made[0].webhook.id)
    await brand.created()
    reason_given, code, metadata = await refusal(brand.created())
    assert (reason_given, code) == ("TOO_MANY_WEBHOOKS", grpc.StatusCode.FAILED_PRECONDITION)
    assert metadata == {"limit": "10"}


@pytest.mark.covers("C6 WebhookService.RotateWebhookSecret")
async def test_after_a_rotation_both_secrets_sign_for_a_while(brand: BrandsWebhooks, promos: Promos) -> None:
    async with Receiver().listening() as receiver:
        webhook_id, first = await brand.create(receiver.url)
        rotated = await brand.call("RotateWebhookSecret", webhook_id)
        second = rotated.secret
        assert second != first
        ends = rotated.webhook.old_secret_expires_at.ToDatetime()
        left = ends - utc_now().replace(tzinfo=None)
        assert timedelta(hours=23) < left <= timedelta(hours=24, seconds=5)
        await brand.until_tried(webhook_id, await brand.ping(webhook_id), 1)
        for secret in (first, second):
            assert receiver.posts[-1].verified(secret)["type"] == "ping"
        await promos.execute(
            "UPDATE webhook_endpoints SET old_secret_expires_at = now() WHERE id = %(id)s",
            id=UUID(webhook_id),
        )
        await brand.until_tried(webhook_id, await brand.ping(webhook_id), 1)
        assert receiver.posts[-1].verified(second)
        assert len(receiver.posts[-1].headers["webhook-signature"].split()) == 1
        assert not (await brand.get(webhook_id)).HasField("old_secret_expires_at")
        third = (await brand.call("RotateWebhookSecret", webhook_id, overlap_hours=0)).secret
        await brand.until_tried(webhook_id, await brand.ping(webhook_id), 1)
        assert receiver.posts[-1].verified(third)
        assert len(receiver.posts[-1].headers["webhook-signature"].split()) == 1
    stale = brand.call("RotateWebhookSecret", webhook_id, etag="1")
    assert await reason(stale) == "ETAG_MISMATCH"


@pytest.mark.covers("C6")
async def test_a_brand_manager_has_the_webhooks_of_the_own_brand_alone(
    promos: Promos, platform: Platform, brand: BrandsWebhooks
) -> None:
    own = brand.called_with(await platform.brand_manager(brand.brand_id))
    webhook_id, _ = await own.create()
    assert (await own.get(webhook_id)).id == webhook_id
    strange = brand.called_with(await platform.brand_manager(new_id()))
    assert await reason(strange.created()) == "BRAND_NOT_YOURS"
    for rpc in RPCS:
        assert await reason(strange.call(rpc, webhook_id, **given(rpc))) == "BRAND_NOT_YOURS", rpc
    listed = strange.stub.ListWebhooks(
        webhook_pb2.ListWebhooksRequest(brand_id=str(brand.brand_id)), metadata=bearer(strange.token)
    )
    assert await reason(listed) == "BRAND_NOT_YOURS"
    # Under the own brand, ids of another brand's webhooks name nothing.
    other = await BrandsWebhooks.of_new_brand(promos)
    other.token = await platform.brand_manager(other.brand_id)
    for rpc in RPCS:
        assert await reason(other.call(rpc, webhook_id, **given(rpc))) == "WEBHOOK_NOT_FOUND", rpc


async def test_of_staff_admins_and_managers_may_call_and_nobody_else(
    promos: Promos, platform: Platform, brand: BrandsWebhooks
) -> None:
    manager = brand.called_with(await platform.token(MANAGER))
    webhook_id, _ = await manager.create()
    member = await platform.member()
    for token in (await platform.token(CASHIER), promos.till, member.token, promos.vouchers):
        others = brand.called_with(token)
        assert await reason(others.created()) in ("ROLE_NOT_ALLOWED", "TOKEN_NOT_VALID")
        for rpc in RPCS:
            refused = await reason(others.call(rpc, webhook_id, **given(rpc)))
            assert refused in ("ROLE_NOT_ALLOWED", "TOKEN_NOT_VALID"), rpc


@pytest.mark.covers("C6 WebhookService.CreateWebhook")
@pytest.mark.parametrize(
    "fields",
    [
        {"url": ""},
        {"url": "http://shop.example/"},
        {"url": "https://10.0.0.1/"},
        {"url": "https://shop.example:80/"},
        {"url": "http://169.254.169.254/latest/meta-data"},
        {"url": "https://user:secret@shop.example/"},
        {"url": "https://shop.example/#a"},
        {"url": "https://shop.example/" + "x" * 2_000},
        {"event_types": []},
        {"event_types": ["ping"]},
        {"event_types": ["claim.deleted"]},
        {"event_types": ["claim.created"] * 11},
        {"description": "x" * 201},
        {"description": "a\u202eb"},
        {"description": "a\0b"},
        {"brand_id": "1"},
    ],
    ids=str,
)
async def test_bad_input_is_refused(brand: BrandsWebhooks, fields: dict[str, Any]) -> None:
    assert await reason(brand.created(**fields)) == "VALIDATION_FAILED"


@pytest.mark.covers("C6 WebhookService.UpdateWebhook")
async def test_bad_input_of_changes_is_refused(brand: BrandsWebhooks) -> None:
    webhook_id, _ = await brand.create()
    moment = timestamp(in_days(1))
    bad: list[tuple[str, dict[str, Any]]] = [
        ("UpdateWebhook", {"url": "https://127.0.0.1.nip/#x"}),
        ("UpdateWebhook", {"url": "https://192.168.0.1/"}),
        ("UpdateWebhook", {"event_types": ["x"]}),
        ("UpdateWebhook", {"description": "\u0007"}),
        ("UpdateWebhook", {"description": ""}),
        ("UpdateWebhook", {"description": "x", "clear": ["description"]}),
        ("UpdateWebhook", {"clear": ["url"]}),
        ("RotateWebhookSecret", {"overlap_hours": -1}),
        ("RotateWebhookSecret", {"overlap_hours": 169}),
        ("RedeliverFailedDeliveries", {}),
        ("RedeliverFailedDeliveries", {"since": timestamp_pb2.Timestamp(seconds=2**60)}),
        ("ListDeliveries", {"state": 77}),
        ("ListDeliveries", {"event_type": "x"}),
        ("ListDeliveries", {"order_by": "state"}),
        (
            "ListDeliveries",
            {"created_from": moment, "created_until": timestamp(in_days(-1))},
        ),
        ("ListDeliveries", {"created_from": moment, "created_until": moment}),
        ("GetDelivery", {"delivery_id": "x"}),
    ]
    for rpc, fields in bad:
        assert await reason(brand.call(rpc, webhook_id, **fields)) == "VALIDATION_FAILED", (rpc, fields)


@pytest.mark.covers("C6 WebhookService.RedeliverDelivery", "C6 WebhookService.GetDelivery")
async def test_unknown_deliveries_are_not_found(brand: BrandsWebhooks) -> None:
    webhook_id, _ = await brand.create()
    for rpc in ("GetDelivery", "RedeliverDelivery"):
        delivery_id = str(new_id())
        refused = await refusal(brand.call(rpc, webhook_id, delivery_id=delivery_id))
        assert refused == (
            "DELIVERY_NOT_FOUND",
            grpc.StatusCode.NOT_FOUND,
            {"delivery_id": delivery_id},
        )


@pytest.mark.covers("C6 WebhookService.ListDeliveries")
async def test_deliveries_are_listed_by_state_type_and_time(brand: BrandsWebhooks) -> None:
    async with Receiver().listening() as receiver:
        webhook_id, _ = await brand.create(receiver.url)
        receiver.responses = [status(503, retry_after="86400")]
        first = await brand.ping(webhook_id)
        await brand.until_tried(webhook_id, first, 1)
        second = await brand.ping(webhook_id)
        await brand.until(webhook_id, second, lambda one: one.state == SUCCEEDED)

        async def listed(**wanted: Any) -> list[str]:
            page = await brand.call("ListDeliveries", webhook_id, **wanted)
            return [one.id for one in page.deliveries]

        assert await listed() == [second, first]
        assert await listed(order_by="created_at") == [first, second]
        assert await listed(state=SUCCEEDED) == [second]
        assert await listed(state=PENDING) == [first]
        assert await listed(state=FAILED) == []
        assert await listed(event_type="ping") == [second, first]
        assert await listed(event_type="claim.created") == []
        made = (await brand.delivery(webhook_id, second)).created_at
        assert await listed(created_from=made) == [second]
        assert await listed(created_until=made) == [first]
        page = await brand.call("ListDeliveries", webhook_id, with_total=True, page_size=1)
        assert page.total.count == 2
        assert [attempt.status for attempt in page.deliveries[0].attempts] == [204]


async def test_a_pending_delivery_is_sent_at_once_when_staff_ask(brand: BrandsWebhooks) -> None:
    async with Receiver(responses=[status(503, retry_after="86400")]).listening() as receiver:
        webhook_id, _ = await brand.create(receiver.url)
        delivery_id = await brand.ping(webhook_id)
        await brand.until_tried(webhook_id, delivery_id, 1)
        await asyncio.gather(
            *(brand.call("RedeliverDelivery", webhook_id, delivery_id=delivery_id) for _ in range(5)),
            return_exceptions=True,
        )
        delivery = await brand.until(webhook_id, delivery_id, lambda one: one.state == SUCCEEDED)
        assert [attempt.status for attempt in delivery.attempts] == [503, 204]
