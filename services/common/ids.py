"""Identifiers are made by the application, so that no database needs to be asked for one."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """Returns a UUIDv7: unique everywhere, and in rough order of time (RFC 9562)."""
    return uuid7()


def utc_now() -> datetime:
    """Returns the present moment, in UTC."""
    return datetime.now(UTC)
