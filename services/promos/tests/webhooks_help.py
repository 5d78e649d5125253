"""A receiver of webhooks in the test's own process, and what tests do to webhooks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
from scrip.promos.v1 import webhook_pb2, webhook_pb2_grpc
from standardwebhooks import Webhook as Verifier

from services.common.ids import new_id
from services.promos.tests.support import Promos
from tests.inprocess import bearer, eventually

PENDING = webhook_pb2.DELIVERY_STATE_PENDING
SUCCEEDED = webhook_pb2.DELIVERY_STATE_SUCCEEDED
FAILED = webhook_pb2.DELIVERY_STATE_FAILED

NOTHING = b""
"""Instead of a response: nothing, until the other side goes away."""
OK = b"HTTP/1.1 204 No Content\r\n\r\n"


def status(code: int, **headers: str) -> bytes:
    """Returns a response with this status, without a body."""
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()]
    return f"HTTP/1.1 {code} x\r\ncontent-length: 0\r\n{''.join(lines)}\r\n".encode()


@dataclass
class Post:
    """A request as the receiver got it."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """The `webhook-id`."""
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> dict[str, Any]:
        """Returns the content, if its signature is good. Raises WebhookVerificationError."""
        Verifier(secret).verify(self.body, self.headers)
        content: dict[str, Any] = orjson.loads(self.body)
        return content


@dataclass
class Receiver:
    """An HTTP server. `responses` are those to the next requests, written as they are; then it says 204."""

    responses: list[bytes] = field(default_factory=list)
    posts: list[Post] = field(default_factory=list)
    port: int = 0
    open: int = 0
    """How many requests wait for a response now."""
    most_open: int = 0
    endless: bool = False
    """Whether a response is followed by a body without end."""
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hook"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request."""
        self._writers.add(writer)
        try:
            await self._one(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the other side went away
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.posts.append(Post(head[0].split()[1], headers, body))
        response = self.responses.pop(0) if self.responses else OK
        if response == NOTHING:
            self.open += 1
            self.most_open = max(self.most_open, self.open)
            try:
                await reader.read()
            finally:
                self.open -= 1
            return
        writer.write(response)
        await writer.drain()
        while self.endless:
            writer.write(b"x" * 65_536)
            await writer.drain()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Receiver]:
        """It listens, on the same port as before when it had one."""
        server = await asyncio.start_server(self.serve, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in list(self._writers):
                writer.close()


@dataclass
class BrandsWebhooks:
    """A brand's webhooks, as its manager or an admin calls them."""

    promos: Promos
    brand_id: UUID
    token: str

    @classmethod
    def of(cls, promos: Promos, token: str | None = None, brand_id: UUID | None = None) -> BrandsWebhooks:
        """Those of a new brand, in an admin's hands unless told otherwise."""
        return cls(promos, brand_id or new_id(), token or promos.admin)

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
