"""Server-sent events for a stream over REST, with what Envoy's own lack: ids and a heartbeat.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from google.api import httpbody_pb2

HEARTBEAT_SECONDS = 15.0
"""How long a connection stays silent at most, so that no proxy takes it for dead."""
METADATA = (("cache-control", "no-store"),)
"""What goes before a stream of events."""
_CONTENT_TYPE = "text/event-stream"
_REOPEN_MILLISECONDS = 2_000


def opening() -> httpbody_pb2.HttpBody:
    """Returns how a stream begins: a browser whose connection is lost opens it again after 2 s."""
    return httpbody_pb2.HttpBody(content_type=_CONTENT_TYPE, data=b"retry: %d\n\n" % _REOPEN_MILLISECONDS)


def event(event_id: int, content: Mapping[str, object]) -> httpbody_pb2.HttpBody:
    """Returns an event with its content as JSON."""
    return httpbody_pb2.HttpBody(
        content_type=_CONTENT_TYPE, data=b"id: %d\ndata: %b\n\n" % (event_id, orjson.dumps(content))
    )


def heartbeat() -> httpbody_pb2.HttpBody:
    """Returns a comment, which clients skip."""
    return httpbody_pb2.HttpBody(content_type=_CONTENT_TYPE, data=b": still here\n\n")
