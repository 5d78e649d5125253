"""A brand's receiver is told over real HTTP, by a real worker; docs/webhooks.md says how to verify it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from stack.settings import ROOT
from tests.platform import Platform, eventually, unique
from tests.receiver import Receiver

EXAMPLE = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver that takes all."""
    async with Receiver().listening() as one:
        yield one


@pytest.fixture
async def webhooks(live: Platform) -> str:
    """The path of the webhooks of a new brand."""
    brand = {"name": f"Brand {unique()}", "category": "Bakeries"}
    made = await live.ok("POST", "/v1/brands", brand, token=live.admin)
    return f"/v1/brands/{made['brand']['brand']['id']}/webhooks"


@pytest.mark.covers("C6 WebhookService.CreateWebhook", "C6 WebhookService.PingWebhook")
async def test_a_ping_arrives_and_the_documents_own_code_verifies_it(
    live: Platform, webhooks: str, receiver: Receiver
) -> None:
    body = {"url": receiver.url, "event_types": ["claim.created"]}
    made = await live.ok("POST", webhooks, body, token=live.admin)
    path = f"{webhooks}/{made['webhook']['id']}"
    sent = (await live.ok("POST", f"{path}:ping", {}, token=live.admin))["delivery"]

    async def taken() -> dict[str, Any]:
        read = await live.ok("GET", f"{path}/deliveries/{sent['id']}", token=live.admin)
        assert read["delivery"]["state"] == "DELIVERY_STATE_SUCCEEDED"
        found: dict[str, Any] = read["delivery"]
        return found

    delivery = await eventually(taken)
    assert [attempt["status"] for attempt in delivery["attempts"]] == [204]
    [post] = receiver.posts
    [example] = EXAMPLE.findall((ROOT / "docs" / "webhooks.md").read_text())
    names: dict[str, Any] = {}
    exec(example, names)  # it is our own
    assert names["is_ours"](made["secret"], post.headers, post.body)
    assert not names["is_ours"](made["secret"], post.headers, post.body + b" ")
    rotated = await live.ok("POST", f"{path}:rotateSecret", {}, token=live.admin)
    assert not names["is_ours"](rotated["secret"], post.headers, post.body)
    old = post.headers | {"webhook-timestamp": str(int(post.headers["webhook-timestamp"]) - 301)}
    assert not names["is_ours"](made["secret"], old, post.body)
    listed = await live.ok("GET", f"{path}/deliveries?event_type=ping", token=live.admin)
    assert [one["id"] for one in listed["deliveries"]] == [sent["id"]]
    again = await live.refused("POST", f"{path}/deliveries/{sent['id']}:redeliver", {}, token=live.admin)
    assert again.reason == "DELIVERY_SUCCEEDED"
    since = {"since": "2026-01-01T00:00:00Z"}
    none = await live.ok("POST", f"{path}:redeliver", since, token=live.admin)
    assert none == {"redelivered": 0}
    await live.ok("DELETE", path, token=live.admin)
    assert (await live.ok("GET", webhooks, token=live.admin))["webhooks"] == []


@pytest.mark.covers("C6 WebhookService.CreateWebhook")
@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "https://10.0.0.1/",
        "http://shop.example/",
        "https://user:secret@shop.example/",
        "https://localhost.localdomain.local/",
        "file:///etc/passwd",
        "",
        None,
    ],
)
async def test_urls_that_lead_inside_are_refused(live: Platform, webhooks: str, url: object) -> None:
    refused = await live.refused(
        "POST", webhooks, {"url": url, "event_types": ["claim.created"]}, token=live.admin
    )
    assert (refused.status, refused.reason) == (400, "VALIDATION_FAILED")
