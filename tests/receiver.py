"""A receiver of webhooks in the test's own process, which can misbehave in every way."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from standardwebhooks import Webhook as Verifier

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
    holds_open: bool = False
    """Whether the connection stays open after a response."""
    certificate: ssl.SSLContext | None = None
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
        if self.holds_open:
            await reader.read()
        while self.endless:
            writer.write(b"x" * 65_536)
            await writer.drain()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Receiver]:
        """It listens, on the same port as before when it had one."""
        server = await asyncio.start_server(self.serve, "127.0.0.1", self.port, ssl=self.certificate)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in list(self._writers):
                writer.close()
