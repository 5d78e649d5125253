"""What happens at a brand reaches its receiver: signed, again and again until it is taken."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from scrip.promos.v1 import webhook_pb2
from standardwebhooks import WebhookVerificationError

from services.common.ids import new_id, utc_now
from services.common.webhooks.dispatcher import WAITS
from services.promos.tests.support import Promos
from services.promos.tests.webhooks_help import FAILED, PENDING, SUCCEEDED, BrandsWebhooks, audit_of
from services.promos.webhooks import NewEvent, queue_events
from tests.inprocess import eventually, reason
from tests.receiver import NOTHING, Receiver, status


def wait_of(delivery: webhook_pb2.Delivery) -> float:
    """Returns how many seconds after its last attempt a delivery is to be tried next."""
    ended = delivery.attempts[-1].started_at.ToDatetime() + timedelta(
        milliseconds=delivery.attempts[-1].duration_ms
    )
    return (delivery.next_attempt_at.ToDatetime() - ended).total_seconds()


@pytest.mark.covers("C6 WebhookService.PingWebhook", "C6 WebhookService.GetDelivery")
async def test_a_ping_arrives_with_a_signature_that_others_verify(
    brand: BrandsWebhooks, receiver: Receiver
) -> None:
    webhook_id, secret = await brand.create(receiver.url)
    delivery_id = await brand.ping(webhook_id)
    delivery = await brand.until_tried(webhook_id, delivery_id, 1)
    [post] = receiver.posts
    assert post.id == delivery_id
    assert post.path == "/hook"
    assert post.headers["content-type"] == "application/json"
    content = post.verified(secret)
    assert content["type"] == "ping"
    assert content["data"] == {"webhook_id": webhook_id}
    assert datetime.fromisoformat(content["timestamp"]).astimezone(UTC) == delivery.occurred_at.ToDatetime(
        tzinfo=UTC
    )
    assert delivery.state == SUCCEEDED
    assert [attempt.status for attempt in delivery.attempts] == [204]
    assert not delivery.HasField("next_attempt_at")
    with pytest.raises(WebhookVerificationError):
        post.verified("whsec_" + "A" * 44)


@pytest.mark.covers("C6")
async def test_a_failure_is_tried_again_after_growing_waits_and_in_the_end_not_any_more(
    brand: BrandsWebhooks, receiver: Receiver
) -> None:
    webhook_id, _ = await brand.create(receiver.url)
    receiver.responses = [status(500)] * 10
    delivery_id = await brand.ping(webhook_id)
    for tries, expected in enumerate(WAITS, start=1):
        delivery = await brand.until_tried(webhook_id, delivery_id, tries)
        assert delivery.state == PENDING
        assert 0.75 * expected <= wait_of(delivery) <= 1.25 * expected + 2
        assert (await brand.get(webhook_id)).HasField("failing_since")
        await brand.due(delivery_id)
    delivery = await brand.until(webhook_id, delivery_id, lambda one: one.state == FAILED)
    assert [attempt.number for attempt in delivery.attempts] == list(range(1, 11))
    assert {attempt.status for attempt in delivery.attempts} == {500}
    assert {attempt.error for attempt in delivery.attempts} == {webhook_pb2.ATTEMPT_ERROR_REFUSED}
    assert {post.id for post in receiver.posts} == {delivery_id}
    webhook = await brand.get(webhook_id)
    assert webhook.enabled
    assert webhook.HasField("failing_since")
    assert 3 <= sum(WAITS) / 86_400 < 3.5


@pytest.mark.covers("C6 WebhookService.RedeliverDelivery")
async def test_a_dead_letter_is_sent_again_when_staff_ask_for_it(
    brand: BrandsWebhooks, receiver: Receiver, promos: Promos
) -> None:
    webhook_id, secret = await brand.create(receiver.url)
    delivery_id = await dead_letter(brand, receiver, webhook_id)
    again = await brand.call("RedeliverDelivery", webhook_id, delivery_id=delivery_id)
    assert again.delivery.state == PENDING
    delivery = await brand.until(webhook_id, delivery_id, lambda one: one.state == SUCCEEDED)
    assert [attempt.status for attempt in delivery.attempts] == [500, 204]
    assert [post.verified(secret)["type"] for post in receiver.posts] == ["ping", "ping"]
    assert not (await brand.get(webhook_id)).HasField("failing_since")
    refused = brand.call("RedeliverDelivery", webhook_id, delivery_id=delivery_id)
    assert await reason(refused) == "DELIVERY_SUCCEEDED"
    assert len(receiver.posts) == 2
    owner = {"owner_id": str(brand.brand_id)}
    assert await redelivered(promos, webhook_id) == [owner | {"delivery_id": delivery_id}]


@pytest.mark.covers("C6 WebhookService.RedeliverFailedDeliveries")
async def test_all_failed_since_a_moment_are_sent_again_and_no_others(
    brand: BrandsWebhooks, receiver: Receiver, promos: Promos
) -> None:
    webhook_id, _ = await brand.create(receiver.url)
    dead = [await dead_letter(brand, receiver, webhook_id) for _ in range(3)]
    await promos.execute(
        "UPDATE webhook_deliveries SET created_at = now() - interval '2 h' WHERE event_id = %(id)s",
        id=UUID(dead[0]),
    )
    since = utc_now() - timedelta(hours=1)
    reply = await brand.call("RedeliverFailedDeliveries", webhook_id, since=since)
    assert reply.redelivered == 2
    for delivery_id in dead[1:]:
        await brand.until(webhook_id, delivery_id, lambda one: one.state == SUCCEEDED)
    assert (await brand.delivery(webhook_id, dead[0])).state == FAILED
    assert (await brand.call("RedeliverFailedDeliveries", webhook_id, since=since)).redelivered == 0
    owner = {"owner_id": str(brand.brand_id)}
    assert await redelivered(promos, webhook_id) == [owner | {"since": since.isoformat(), "count": 2}]


async def redelivered(promos: Promos, webhook_id: str) -> list[Any]:
    """Returns what the audit list says of deliveries that were sent again, once identity has it."""

    async def sent() -> list[dict[str, Any]]:
        waiting = "SELECT count(*) FROM outbox WHERE content->>'target_id' = %(id)s"
        assert await promos.value(waiting, id=webhook_id) == 0
        return await audit_of(promos, webhook_id)

    entries = await eventually(sent)
    return [one["details"] for one in entries if one["action"] == "webhook.redelivered"]


async def dead_letter(brand: BrandsWebhooks, receiver: Receiver, webhook_id: str) -> str:
    """Returns a delivery that failed at its last try."""
    receiver.responses = [status(500)]
    delivery_id = await brand.ping(webhook_id)
    await brand.until_tried(webhook_id, delivery_id, 1)
    await brand.promos.execute(
        "UPDATE webhook_deliveries SET state = 'FAILED', next_attempt_at = NULL, completed_at = now()"
        " WHERE event_id = %(id)s",
        id=UUID(delivery_id),
    )
    return delivery_id


@pytest.mark.covers("C6")
async def test_500_then_200_is_taken_at_the_second_try(brand: BrandsWebhooks, receiver: Receiver) -> None:
    webhook_id, secret = await brand.create(receiver.url)
    receiver.responses = [status(500), status(200)]
    delivery_id = await brand.ping(webhook_id)
    await brand.until_tried(webhook_id, delivery_id, 1)
    await brand.due(delivery_id)
    delivery = await brand.until(webhook_id, delivery_id, lambda one: one.state == SUCCEEDED)
    assert [attempt.status for attempt in delivery.attempts] == [500, 200]
    first, second = receiver.posts
    assert first.id == second.id
    assert first.verified(secret) == second.verified(secret)


@pytest.mark.covers("C6")
async def test_a_receiver_may_ask_for_a_longer_wait_of_a_day_at_most(
    brand: BrandsWebhooks, receiver: Receiver
) -> None:
    webhook_id, _ = await brand.create(receiver.url)
    receiver.responses = [status(429, retry_after=value) for value in ("3600", "9999999", "1", "nonsense")]
    delivery_id = await brand.ping(webhook_id)
    waits = []
    for tries in range(1, 5):
        delivery = await brand.until_tried(webhook_id, delivery_id, tries)
        waits.append(wait_of(delivery))
        await brand.due(delivery_id)
    assert 3_590 <= waits[0] <= 3_610
    assert 86_390 <= waits[1] <= 86_410
    assert 0.75 * WAITS[2] <= waits[2] <= 1.25 * WAITS[2]
    assert 0.75 * WAITS[3] <= waits[3] <= 1.25 * WAITS[3]


@pytest.mark.covers("C6")
async def test_a_receiver_that_is_gone_gets_nothing_until_staff_enable_it(
    brand: BrandsWebhooks, receiver: Receiver
) -> None:
    webhook_id, _ = await brand.create(receiver.url)
    receiver.responses = [status(410)]
    delivery_id = await brand.ping(webhook_id)
    await brand.until(webhook_id, delivery_id, lambda one: one.state == FAILED)

    async def disabled() -> webhook_pb2.Webhook:
        found = await brand.get(webhook_id)
        assert not found.enabled
        return found

    gone = await eventually(disabled)
    assert gone.HasField("gone_at")
    assert await reason(brand.call("PingWebhook", webhook_id)) == "WEBHOOK_DISABLED"
    refused = brand.call("RedeliverDelivery", webhook_id, delivery_id=delivery_id)
    assert await reason(refused) == "WEBHOOK_DISABLED"
    refused = brand.call("RedeliverFailedDeliveries", webhook_id, since=utc_now())
    assert await reason(refused) == "WEBHOOK_DISABLED"
    enabled = (await brand.call("UpdateWebhook", webhook_id, enabled=True, etag=gone.etag)).webhook
    assert enabled.enabled
    assert not enabled.HasField("gone_at")
    await brand.call("RedeliverDelivery", webhook_id, delivery_id=delivery_id)
    await brand.until(webhook_id, delivery_id, lambda one: one.state == SUCCEEDED)


@pytest.mark.covers("C6")
async def test_a_redirect_is_a_failure_and_nobody_follows_it(
    brand: BrandsWebhooks, receiver: Receiver
) -> None:
    async with Receiver().listening() as elsewhere:
        webhook_id, _ = await brand.create(receiver.url)
        receiver.responses = [status(code, location=elsewhere.url) for code in (301, 302, 307, 308)]
        delivery_id = await brand.ping(webhook_id)
        for tries in range(1, 5):
            await brand.until_tried(webhook_id, delivery_id, tries)
            await brand.due(delivery_id)
        delivery = await brand.until(webhook_id, delivery_id, lambda one: one.state == SUCCEEDED)
        errors = [attempt.error for attempt in delivery.attempts]
        assert errors == [webhook_pb2.ATTEMPT_ERROR_REDIRECTED] * 4 + [webhook_pb2.ATTEMPT_ERROR_UNSPECIFIED]
        assert elsewhere.posts == []


LIES = {
    "a body longer than it says": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n" + b"x" * 50_000,
    "a body shorter than it says": b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nx",
    "two responses": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n" * 2,
    "a chunk without end": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffff\r\nxx",
    "preliminary responses": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 20 + b"HTTP/1.1 200 OK\r\n\r\n",
}


@pytest.mark.covers("C6")
@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_the_status_decides_whatever_body_follows(
    brand: BrandsWebhooks, receiver: Receiver, lie: bytes
) -> None:
    webhook_id, _ = await brand.create(receiver.url)
    receiver.responses = [lie]
    delivery_id = await brand.ping(webhook_id)
    delivery = await brand.until(webhook_id, delivery_id, lambda one: one.state == SUCCEEDED)
    assert [attempt.status for attempt in delivery.attempts] == [200]


async def test_an_endless_body_is_not_read(brand: BrandsWebhooks, receiver: Receiver) -> None:
    receiver.endless = True
    receiver.responses = [b"HTTP/1.1 200 OK\r\n\r\n"]
    webhook_id, _ = await brand.create(receiver.url)
    delivery_id = await brand.ping(webhook_id)
    delivery = await brand.until(webhook_id, delivery_id, lambda one: one.state == SUCCEEDED)
    assert delivery.attempts[0].duration_ms < 5_000


NOT_HTTP = {
    "nonsense": (b"SSH-2.0-OpenSSH_9\r\n", "BROKEN_OFF"),
    "nothing and an end": (b"\r\n", "BROKEN_OFF"),
    "headers without end": (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 50_000, "BROKEN_OFF"),
    "half a response": (b"HTTP/1.1 200 OK\r\ncontent-le", "BROKEN_OFF"),
}


@pytest.mark.covers("C6")
@pytest.mark.parametrize(("response", "error"), NOT_HTTP.values(), ids=NOT_HTTP)
async def test_what_is_no_response_is_a_failure(
    brand: BrandsWebhooks, receiver: Receiver, response: bytes, error: str
) -> None:
    webhook_id, _ = await brand.create(receiver.url)
    receiver.responses = [response]
    delivery_id = await brand.ping(webhook_id)
    delivery = await brand.until_tried(webhook_id, delivery_id, 1)
    [attempt] = delivery.attempts
    assert attempt.error == webhook_pb2.AttemptError.Value(f"ATTEMPT_ERROR_{error}")
    assert not attempt.HasField("status")


@pytest.mark.covers("C6")
async def test_a_receiver_that_is_down_gets_it_when_it_is_back(brand: BrandsWebhooks) -> None:
    receiver = Receiver()
    async with receiver.listening():
        pass
    webhook_id, secret = await brand.create(receiver.url)
    delivery_id = await brand.ping(webhook_id)
    delivery = await brand.until_tried(webhook_id, delivery_id, 1)
    assert delivery.attempts[0].error == webhook_pb2.ATTEMPT_ERROR_NOT_CONNECTED
    async with receiver.listening():
        await brand.due(delivery_id)
        await brand.until(webhook_id, delivery_id, lambda one: one.state == SUCCEEDED)
        assert receiver.posts[0].verified(secret)["type"] == "ping"


@pytest.mark.covers("C6")
async def test_a_slow_receiver_delays_no_other_and_holds_few_connections(
    brand: BrandsWebhooks, receiver: Receiver
) -> None:
    async with Receiver(responses=[NOTHING] * 100).listening() as slow:
        slow_id, _ = await brand.create(slow.url)
        waiting = [await brand.ping(slow_id) for _ in range(60)]
        fast_id, _ = await brand.create(receiver.url)
        quick = [await brand.ping(fast_id) for _ in range(20)]
        for delivery_id in quick:
            await brand.until(fast_id, delivery_id, lambda one: one.state == SUCCEEDED)
        assert slow.most_open <= 4
        states = [(await brand.delivery(slow_id, delivery_id)).state for delivery_id in waiting]
        assert set(states) == {PENDING}
        await brand.call("DeleteWebhook", slow_id)


@pytest.mark.covers("C6")
async def test_an_event_goes_to_each_endpoint_of_its_brand_that_wants_it_and_to_no_other(
    promos: Promos, brand: BrandsWebhooks, receiver: Receiver
) -> None:
    other = await BrandsWebhooks.of_new_brand(promos)
    wanting = [(await brand.create(receiver.url))[0] for _ in range(2)]
    disabled, _ = await brand.create(receiver.url)
    await brand.call("UpdateWebhook", disabled, enabled=False)
    deleted, _ = await brand.create(receiver.url)
    await brand.call("DeleteWebhook", deleted)
    elsewhere, _ = await other.create(receiver.url)
    claims, member_id = [new_id() for _ in range(3)], new_id()
    await promos.db.run(queue_events, [_claim(brand.brand_id, claim, member_id) for claim in claims])
    for webhook_id in wanting:
        page = await brand.call("ListDeliveries", webhook_id, event_type="claim.created")
        assert sorted(one.subject_id for one in page.deliveries) == sorted(map(str, claims))
    for webhook_id in (disabled,):
        assert not (await brand.call("ListDeliveries", webhook_id)).deliveries
    assert not (await other.call("ListDeliveries", elsewhere)).deliveries
    await other.call("DeleteWebhook", elsewhere)


async def test_an_event_that_nobody_wants_writes_nothing(promos: Promos) -> None:
    count = "SELECT count(*) FROM webhook_deliveries"
    jobs = "SELECT count(*) FROM procrastinate_jobs WHERE task_name LIKE '%%webhook%%'"
    before = await promos.value(count)
    await promos.db.run(queue_events, [_claim(new_id(), new_id(), new_id())])
    await promos.db.run(queue_events, [])
    assert await promos.value(count) == before
    assert await promos.value(jobs) == 0


async def test_events_of_a_transaction_that_fails_are_not_sent(
    promos: Promos, brand: BrandsWebhooks, receiver: Receiver
) -> None:
    webhook_id, _ = await brand.create(receiver.url)

    async def fails(connection: object, events: Sequence[NewEvent]) -> None:
        await queue_events(connection, events)  # type: ignore[arg-type]  # it is one
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        await promos.db.run(fails, [_claim(brand.brand_id, new_id(), new_id())])
    assert not (await brand.call("ListDeliveries", webhook_id)).deliveries


@pytest.mark.covers("C6")
async def test_nothing_of_a_person_is_kept_but_ids(promos: Promos, brand: BrandsWebhooks) -> None:
    columns = await promos.db.read(_columns)
    assert set(columns) == {
        *("endpoint_id", "event_id", "kind", "subject_id", "member_id", "occurred_at", "state", "attempts"),
        *("tries", "next_attempt_at", "sending_until", "created_at", "completed_at"),
    }


async def _columns(connection: object) -> list[str]:
    from services.common.db import fetch_values

    return await fetch_values(
        connection,  # type: ignore[arg-type]  # it is one
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'webhook_deliveries'",
    )


def _claim(brand_id: UUID, claim_id: UUID, member_id: UUID) -> NewEvent:
    return NewEvent(brand_id, "claim.created", claim_id, utc_now(), member_id)


@pytest.mark.covers("C6")
async def test_fifty_pings_at_once_each_arrive(brand: BrandsWebhooks, receiver: Receiver) -> None:
    webhook_id, secret = await brand.create(receiver.url)
    sent = await asyncio.gather(*(brand.ping(webhook_id) for _ in range(50)))

    async def all_there() -> None:
        assert {post.id for post in receiver.posts} == set(sent)

    await eventually(all_there)
    assert all(post.verified(secret) for post in receiver.posts)
