"""Server-sent events for a stream over REST, with what Envoy's own lack: ids and a heartbeat.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping

import orjson
from google.api import httpbody_pb2
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from services.common.encoding import Context

HEARTBEAT_SECONDS = 15.0
"""How long a connection stays silent at most, so that no proxy takes it for dead."""
_METADATA = (("cache-control", "no-store"),)
_CONTENT_TYPE = "text/event-stream"
_REOPEN_MILLISECONDS = 2_000


async def as_events(
    context: Context, changes: AsyncIterator[tuple[int, Mapping[str, object]] | None]
) -> AsyncIterator[httpbody_pb2.HttpBody]:
    """Yields each change, an id that grows and a content, as an event, and a heartbeat for each None.

    What is refused before the first change stays an error like any other.
    """
    opened = False
    async for change in changes:
        if not opened:
            opened = True
            await context.send_initial_metadata(_METADATA)
            yield _opening()
        yield _heartbeat() if change is None else _event(*change)


def event_id() -> int:
    """Returns the id of what is read now: milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def as_json(message: Message) -> dict[str, object]:
    """Returns a message as the edge writes it."""
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def _opening() -> httpbody_pb2.HttpBody:
    """Returns how a stream begins: a browser whose connection is lost opens it again after 2 s."""
    return httpbody_pb2.HttpBody(content_type=_CONTENT_TYPE, data=b"retry: %d\n\n" % _REOPEN_MILLISECONDS)


def _event(event_id: int, content: Mapping[str, object]) -> httpbody_pb2.HttpBody:
    """Returns an event with its content as JSON."""
    return httpbody_pb2.HttpBody(
        content_type=_CONTENT_TYPE, data=b"id: %d\ndata: %b\n\n" % (event_id, orjson.dumps(content))
    )


def _heartbeat() -> httpbody_pb2.HttpBody:
    """Returns a comment, which clients skip."""
    return httpbody_pb2.HttpBody(content_type=_CONTENT_TYPE, data=b": still here\n\n")
