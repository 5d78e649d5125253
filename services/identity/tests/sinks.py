"""A mail server and an SMS provider that tests can look into, and that fail on demand."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message

HANG = 0
"""Instead of a status: never reply."""


@dataclass
class Mail:
    """An e-mail as the server got it."""

    sender: str
    recipient: str
    content: Message
    encrypted: bool
    logged_in_as: str

    @property
    def text(self) -> str:
        """The text of the e-mail."""
        return str(self.content.get_payload())


@dataclass
class MailSink:
    """An SMTP server. `failures` are the replies to the next recipients; then it takes all."""

    port: int = 0
    failures: list[int] = field(default_factory=list)
    refused: int = 0
    mails: list[Mail] = field(default_factory=list)
    certificate: ssl.SSLContext | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        sender = recipient = user = ""
        encrypted = False
        await _send_lines(writer, "220 sink")
        while line := await reader.readline():
            verb, _, rest = line.decode().strip().partition(" ")
            match verb.upper():
                case "EHLO":
                    offers = ["STARTTLS"] if self.certificate and not encrypted else ["AUTH PLAIN"]
                    await _send_lines(
                        writer, "250-sink", *[f"250-{offer}" for offer in offers], "250 SMTPUTF8"
                    )
                case "STARTTLS":
                    await _send_lines(writer, "220 go on")
                    assert self.certificate
                    await writer.start_tls(self.certificate)
                    encrypted = True
                case "AUTH":
                    user = rest
                    await _send_lines(writer, "235 welcome")
                case "MAIL":
                    sender = rest.partition("<")[2].partition(">")[0]
                    await _send_lines(writer, "250 ok")
                case "RCPT" if self.failures:
                    self.refused += 1
                    await _send_lines(writer, f"{self.failures.pop(0)} not now")
                case "RCPT":
                    recipient = rest.partition("<")[2].partition(">")[0]
                    await _send_lines(writer, "250 ok")
                case "DATA":
                    await _send_lines(writer, "354 go on")
                    body = (await reader.readuntil(b"\r\n.\r\n")).removesuffix(b".\r\n")
                    content = message_from_bytes(body)
                    self.mails.append(Mail(sender, recipient, content, encrypted, user))
                    await _send_lines(writer, "250 taken")
                case "QUIT":
                    await _send_lines(writer, "221 bye")
                    break
                case _:
                    await _send_lines(writer, "250 ok")
        writer.close()


async def _send_lines(writer: asyncio.StreamWriter, *lines: str) -> None:
    writer.write("".join(f"{line}\r\n" for line in lines).encode())
    await writer.drain()


@dataclass
class Post:
    """A request as the provider got it."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class HttpSink:
    """An HTTP server. `failures` are the statuses of the next responses; then it returns 204."""

    port: int = 0
    failures: list[int] = field(default_factory=list)
    posts: list[Post] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.posts.append(Post(head[0].split()[1], headers, body))
        status = self.failures.pop(0) if self.failures else 204
        if status == HANG:
            await reader.read()  # until the other side goes away
        else:
            location = f"location: http://127.0.0.1:{self.port}/elsewhere\r\n" if 300 <= status < 400 else ""
            writer.write(f"HTTP/1.1 {status} x\r\n{location}content-length: 0\r\n\r\n".encode())
            await writer.drain()
        writer.close()


@asynccontextmanager
async def listening(sink: MailSink | HttpSink) -> AsyncIterator[None]:
    """The sink listens on a port of its own, the same as before when it had one."""
    server = await asyncio.start_server(sink.serve, "127.0.0.1", sink.port)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield
    finally:
        server.close()
