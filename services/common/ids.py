"""Identifiers are made by the application, so that no database needs to be asked for one."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import uuid_utils
from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """Returns a UUIDv7: unique everywhere, and in rough order of time (RFC 9562)."""
    return uuid7()


def new_id_texts(count: int) -> list[str]:
    """Returns such ids as texts, for rows by the thousand: ten times as fast as `new_id`."""
    return [str(uuid_utils.uuid7()) for _ in range(count)]


def utc_now() -> datetime:
    """Returns the present moment, in UTC."""
    return datetime.now(UTC)
