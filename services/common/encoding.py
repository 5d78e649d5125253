"""Plain values to protobuf and back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import grpc
from google.api import httpbody_pb2
from google.protobuf import timestamp_pb2
from google.protobuf.message import Message

from services.common.errors import invalid_field
from services.common.qr import Image

Context = grpc.aio.ServicerContext[Any, Any]


def timestamp(moment: datetime | None) -> timestamp_pb2.Timestamp | None:
    """A moment as protobuf has it; None stays absent."""
    if moment is None:
        return None
    encoded = timestamp_pb2.Timestamp()
    encoded.FromDatetime(moment)
    return encoded


def moment(message: Message, field: str) -> datetime | None:
    """The moment in a timestamp field, or None when it is absent.

    Raises VALIDATION_FAILED for one outside of the years 1 to 9999.
    """
    if not message.HasField(field):
        return None
    value: timestamp_pb2.Timestamp = getattr(message, field)
    try:
        return value.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise invalid_field(field, "is not a moment of the calendar") from error


def header(context: Context, name: str) -> str | None:
    """A header of the call, or None."""
    for key, value in context.invocation_metadata() or ():
        if key == name:
            return value if isinstance(value, str) else value.decode(errors="replace")
    return None


def client_address(context: Context) -> str:
    """The address that the call came from, as the edge saw it; it lets nobody else set this header."""
    return header(context, "x-envoy-external-address") or context.peer().rpartition(":")[0]


async def image_body(context: Context, image: Image) -> httpbody_pb2.HttpBody:
    """An image as an HTTP body that only its caller may cache, for a minute."""
    await context.send_initial_metadata((("cache-control", "private, max-age=60"),))
    return httpbody_pb2.HttpBody(content_type=image.content_type, data=image.data)
