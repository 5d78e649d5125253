"""A brand's receiver of webhooks, on this machine: what it gets, and whether the signature is right."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

_REPLY = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"
_LATEST_SECONDS = 30.0


@dataclass(frozen=True)
class Delivered:
    """What arrived: the headers by their names in small letters, and the bytes that are signed."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, which is JSON."""
        return json.loads(self.body)

    def is_signed_by(self, secret: str) -> bool:
        """Returns whether one of the signatures, of Standard Webhooks, is by this secret (`whsec_...`)."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + self.body
        right = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        given = self.headers["webhook-signature"].split()
        return any(hmac.compare_digest(one, f"v1,{right}") for one in given)


@dataclass
class Receiver:
    """Says 204 to everything and keeps it."""

    url: str = ""
    _arrived: asyncio.Queue[Delivered] = field(default_factory=asyncio.Queue)

    async def next(self) -> Delivered:
        """Returns what arrived next. Raises TimeoutError after half a minute."""
        async with asyncio.timeout(_LATEST_SECONDS):
            return await self._arrived.get()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Takes one request."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[1:]
            pairs = (line.partition(":") for line in head if line)
            headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
            body = await reader.readexactly(int(headers["content-length"]))
            await self._arrived.put(Delivered(headers, body))
            writer.write(_REPLY)
            await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Yields a receiver that listens on this machine alone."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.handle, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/scrip"
    async with server:
        yield receiver
