"""The base of all tables of points. For migrations and tests only.

Keys begin with the member, so that tables can be spread by member; the others name what they are keyed by.
The hot tables have no foreign keys: one statement writes a purchase with all that belongs to it, and
checking each row again would cost as much as writing it.
"""

from __future__ import annotations

from sqlalchemy.orm import DeclarativeBase

from services.common.tables import (
    TYPES,
    idempotency_table,
    members_table,
    new_metadata,
    outbox_table,
    set_aside_table,
)


class Base(DeclarativeBase):
    """All tables of points."""

    metadata = new_metadata()
    type_annotation_map = TYPES


idempotency_table(Base.metadata)
members_table(Base.metadata)
outbox_table(Base.metadata)
set_aside_table(Base.metadata)
