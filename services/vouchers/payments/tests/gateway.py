"""A payment gateway on this machine that can misbehave in every way that a test asks for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from services.common.webhooks.signing import fault

KEY = b"what both sides sign with"
_AFTER = {"authorise": "AUTHORISED", "capture": "CAPTURED", "void": "VOIDED", "refund": "REFUNDED"}


@dataclass
class Request:
    """What arrived."""

    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, which is JSON."""
        return orjson.loads(self.body)

    @property
    def is_signed(self) -> bool:
        """Whether it was signed by Scrip a moment ago."""
        moment, signature = self.headers["webhook-timestamp"], self.headers["webhook-signature"]
        return fault(self.headers["webhook-id"], moment, signature, self.body, [KEY]) is None


@dataclass
class Gateway:
    """Keeps payments by their ids. `reply` is what it says instead, as bytes of HTTP; b"" says nothing."""

    url: str = ""
    acts: bool = True
    reply: bytes | None = None
    seconds: float = 0.0
    changes: dict[str, object] = field(default_factory=dict)
    payments: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Takes one request."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[1:]
            pairs = (line.partition(":") for line in head if line)
            headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
            request = Request(headers, await reader.readexactly(int(headers["content-length"])))
            self.requests.append(request)
            found = self._act(request.json) if self.acts else None
            await asyncio.sleep(self.seconds)
            writer.write(http(200, found) if self.reply is None else self.reply)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # who called has gone
        finally:
            writer.close()

    def _act(self, asked: dict[str, Any]) -> dict[str, Any] | None:
        payment_id, operation = asked["payment_id"], asked["operation"]
        if operation == "authorise":
            amount = {name: asked[name] for name in ("amount_minor", "currency_code")}
            self.payments.setdefault(payment_id, {"payment_id": payment_id, **amount, "reference": "g-1"})
        found = self.payments.get(payment_id)
        if found is None:
            return None
        if operation != "status":
            found["state"] = _AFTER[operation]
        return found | self.changes


def http(status: int, content: object) -> bytes:
    """Returns a response; without content it is 404."""
    if content is None:
        status = 404
    body = content if isinstance(content, bytes) else orjson.dumps(content)
    return f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body


@asynccontextmanager
async def gateway_listening() -> AsyncIterator[Gateway]:
    """Yields a gateway that listens on this machine alone."""
    gateway = Gateway()
    server = await asyncio.start_server(gateway.handle, "127.0.0.1", 0)
    gateway.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/payments"
    async with server:
        yield gateway
