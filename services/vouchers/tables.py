"""What the tables of all features have in common. For migrations and tests only."""

from __future__ import annotations

from sqlalchemy.orm import DeclarativeBase

from services.common.tables import (
    TYPES,
    idempotency_table,
    members_table,
    new_metadata,
    outbox_table,
    search_words_table,
    set_aside_table,
)


class Base(DeclarativeBase):
    """All tables of vouchers."""

    metadata = new_metadata()
    type_annotation_map = TYPES


idempotency_table(Base.metadata)
members_table(Base.metadata)
outbox_table(Base.metadata)
search_words_table(Base.metadata)
set_aside_table(Base.metadata)
