"""Posts webhooks. Loaded by workers alone.

A host's name is looked up once for each attempt, all of its addresses are checked, and the connection is made
to what was checked: so another answer to a second look-up (DNS rebinding) changes nothing. No redirect is
followed, no proxy is used, and no connection is kept.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, Literal
from urllib.parse import urlsplit

import httpcore

from services.common.ids import utc_now
from services.common.threads import in_own_thread
from services.common.webhooks.addresses import OWN_PORT, Network, is_allowed, may_connect, url_fault

SendError = Literal[
    "ADDRESS_NOT_ALLOWED",
    "HOST_NOT_FOUND",
    "NOT_CONNECTED",
    "TLS_FAILED",
    "TIMED_OUT",
    "BROKEN_OFF",
    "REDIRECTED",
    "REFUSED",
    "INTERNAL",
]
"""Why an attempt failed, without a word of the receiver's."""

_CONNECT_SECONDS, _SECONDS = 5.0, 15.0
_DRAIN_SECONDS, _DRAIN_BYTES = 2.0, 8_192
_MOST_ADDRESSES = 3
GONE = 410


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt. `error` is None when the receiver took it; `retry_after` is in seconds."""

    status: int | None = None
    error: SendError | None = None
    retry_after: float = 0.0


class _FaultError(Exception):
    def __init__(self, error: SendError) -> None:
        super().__init__(error)
        self.error: SendError = error


class HttpSender:
    """Posts signed bodies to the URLs of endpoints."""

    def __init__(
        self,
        allowed: Sequence[Network],
        *,
        seconds: float = _SECONDS,
        connect_seconds: float = _CONNECT_SECONDS,
        trusted: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed = allowed
        self._seconds = seconds
        self._connect_seconds = connect_seconds
        self._trusted = trusted or ssl.create_default_context()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        """Returns what came of one attempt, within the time that an attempt has. Raises nothing expected."""
        try:
            async with asyncio.timeout(self._seconds) as timer:
                return await self._post(timer, url, headers, body)
        except _FaultError as fault:
            return Outcome(error=fault.error)
        except (TimeoutError, httpcore.TimeoutException):
            return Outcome(error="TIMED_OUT")
        except httpcore.ConnectError as error:
            # The library's own error stands for that of TLS, which is its cause.
            return Outcome(error="TLS_FAILED" if _is_of_tls(error) else "NOT_CONNECTED")
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, ssl.SSLError):
            return Outcome(error="BROKEN_OFF")

    async def _post(
        self, timer: asyncio.Timeout, url: str, headers: Mapping[str, str], body: bytes
    ) -> Outcome:
        if url_fault(url, self._allowed):  # operators may allow less than when it was given
            raise _FaultError("ADDRESS_NOT_ALLOWED")
        parsed, host = httpcore.URL(url), urlsplit(url).hostname or ""
        addresses = await self._addresses(host, https=parsed.scheme == b"https")
        connection = httpcore.AsyncHTTPConnection(
            origin=parsed.origin, ssl_context=self._trusted, network_backend=_Pinned(addresses)
        )
        times = {"connect": self._connect_seconds, "read": self._seconds, "write": self._seconds}
        sent: dict[bytes | str, bytes | str] = {
            "host": _host_header(host, parsed.port, parsed.scheme.decode()),
            "content-type": "application/json",
            "user-agent": "scrip",
            "connection": "close",
        }
        sent.update(headers)
        async with (
            connection,
            connection.stream(
                "POST", parsed, headers=sent, content=body, extensions={"timeout": times}
            ) as response,
        ):
            timer.reschedule(None)  # it is decided by now
            await _drain(response)
            return _judged(response.status, dict(response.headers))

    async def _addresses(self, host: str, *, https: bool) -> Sequence[str]:
        """Returns the addresses of a host, if webhooks may be sent to all of them."""
        try:
            # Not in a pool of threads, where names that nobody can look up would hold up the others.
            found = await in_own_thread(
                partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM),
                seconds=self._connect_seconds,
            )
        except (OSError, UnicodeError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise _FaultError("HOST_NOT_FOUND") from None
        addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
        for address in addresses:
            if not may_connect(address, self._allowed) or not (https or is_allowed(address, self._allowed)):
                raise _FaultError("ADDRESS_NOT_ALLOWED")
        return addresses[:_MOST_ADDRESSES]


class _Pinned(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were checked, whatever the name is."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,  # noqa: ARG002  # it was looked up before
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Returns a connection to the first address that takes one."""
        failed: Exception = httpcore.ConnectError("no address")
        for address in self._addresses:
            try:
                return await self._network.connect_tcp(
                    address, port, timeout=timeout, local_address=local_address, socket_options=socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed


def _host_header(host: str, port: int | None, scheme: str) -> str:
    """Returns the header that names the host; the library forgets the brackets of an address of IPv6."""
    named = f"[{host}]" if ":" in host else host
    return named if port in (None, OWN_PORT[scheme]) else f"{named}:{port}"


async def _drain(response: httpcore.Response) -> None:
    """Reads a little of the body, so that the receiver is not cut off; what it says does not count."""
    read = 0
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for part in response.aiter_stream():
                read += len(part)
                if read > _DRAIN_BYTES:
                    return
    except (TimeoutError, httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException):
        return


def _judged(status: int, headers: Mapping[bytes, bytes]) -> Outcome:
    if 200 <= status < 300:
        return Outcome(status)
    error: SendError = "REDIRECTED" if 300 <= status < 400 else "REFUSED"
    wanted = next((value for name, value in headers.items() if name.lower() == b"retry-after"), b"")
    return Outcome(status, error, _seconds(wanted.decode("ascii", "replace").strip()))


def _seconds(retry_after: str) -> float:
    """Returns the seconds that a `Retry-After` names, as a number or a moment; 0 for none, or nonsense."""
    if retry_after.isdecimal() and len(retry_after) < 10:
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):
        return 0.0
    return max(0.0, (moment.astimezone(UTC) - utc_now()).total_seconds())


def _is_of_tls(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
