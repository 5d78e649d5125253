"""What tests do to webhooks of brands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from scrip.promos.v1 import webhook_pb2, webhook_pb2_grpc

from services.common.db import fetch_values
from services.promos.tests.brands_help import Brands
from services.promos.tests.support import Promos
from tests.inprocess import bearer, eventually

PENDING = webhook_pb2.DELIVERY_STATE_PENDING
SUCCEEDED = webhook_pb2.DELIVERY_STATE_SUCCEEDED
FAILED = webhook_pb2.DELIVERY_STATE_FAILED


@dataclass
class BrandsWebhooks:
    """A brand's webhooks, as its manager or an admin calls them."""

    promos: Promos
    brand_id: UUID
    token: str

    @classmethod
    async def of_new_brand(cls, promos: Promos) -> BrandsWebhooks:
        """Those of a new brand, in an admin's hands."""
        made = await Brands(promos).brand()
        return cls(promos, UUID(made.brand.id), promos.admin)

    def called_with(self, token: str) -> BrandsWebhooks:
        """The same in another caller's hands."""
        return BrandsWebhooks(self.promos, self.brand_id, token)

    @property
    def stub(self) -> webhook_pb2_grpc.WebhookServiceStub:
        """WebhookService."""
        return webhook_pb2_grpc.WebhookServiceStub(self.promos.channel)

    async def create(self, url: str = "https://shop.example/hook", **fields: Any) -> tuple[str, str]:
        """Returns id and secret of a new webhook."""
        made = await self.created(url, **fields)
        return made.webhook.id, made.secret

    async def created(
        self, url: str = "https://shop.example/hook", **fields: Any
    ) -> webhook_pb2.CreateWebhookResponse:
        """Creates a webhook."""
        given = {"brand_id": str(self.brand_id), "url": url, "event_types": ["claim.created"], **fields}
        request = webhook_pb2.CreateWebhookRequest(**given)
        return await self.stub.CreateWebhook(request, metadata=bearer(self.token))

    async def call(self, name: str, webhook_id: str, **fields: Any) -> Any:
        """Calls an RPC about a webhook of the brand."""
        request: Any = getattr(webhook_pb2, f"{name}Request")
        given = {"brand_id": str(self.brand_id), "webhook_id": webhook_id, **fields}
        return await getattr(self.stub, name)(request(**given), metadata=bearer(self.token))

    async def get(self, webhook_id: str) -> webhook_pb2.Webhook:
        """Returns a webhook."""
        found: webhook_pb2.Webhook = (await self.call("GetWebhook", webhook_id)).webhook
        return found

    async def ping(self, webhook_id: str) -> str:
        """Has a ping sent; returns the delivery's id."""
        return str((await self.call("PingWebhook", webhook_id)).delivery.id)

    async def delivery(self, webhook_id: str, delivery_id: str) -> webhook_pb2.Delivery:
        """Returns a delivery."""
        found = await self.call("GetDelivery", webhook_id, delivery_id=delivery_id)
        delivery: webhook_pb2.Delivery = found.delivery
        return delivery

    async def until(
        self, webhook_id: str, delivery_id: str, holds: Callable[[webhook_pb2.Delivery], bool]
    ) -> webhook_pb2.Delivery:
        """Waits until something holds of a delivery, and returns it."""

        async def check() -> webhook_pb2.Delivery:
            found = await self.delivery(webhook_id, delivery_id)
            assert holds(found), found
            return found

        return await eventually(check)

    async def until_tried(self, webhook_id: str, delivery_id: str, times: int) -> webhook_pb2.Delivery:
        """Waits until so many attempts have ended."""
        return await self.until(webhook_id, delivery_id, lambda one: len(one.attempts) == times)

    async def due(self, delivery_id: str) -> None:
        """The time for the next attempt has come."""
        await self.promos.execute(
            "UPDATE webhook_deliveries SET next_attempt_at = now() WHERE event_id = %(id)s",
            id=UUID(delivery_id),
        )


async def audit_of(promos: Promos, webhook_id: str) -> list[dict[str, Any]]:
    """Returns the audit entries about a webhook that are with promos or already at identity, or both.

    Those that wait are read first, so that one that is just being sent is not missed.
    """
    waiting = await promos.db.read(
        _entries,
        "SELECT content FROM outbox WHERE topic = 'audit' AND content->>'target_id' = %(id)s",
        webhook_id,
    )
    sent = await promos.platform.databases["identity"].read(
        _entries,
        "SELECT jsonb_build_object('action', action, 'details', details) FROM audit_entries"
        " WHERE target_id = %(id)s ORDER BY occurred_at",
        webhook_id,
    )
    return [*waiting, *sent]


async def _entries(connection: Any, statement: Any, target_id: str) -> list[dict[str, Any]]:
    return await fetch_values(connection, statement, id=target_id)
