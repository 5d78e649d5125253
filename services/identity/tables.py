"""What the tables of all features have in common. For migrations and tests only."""

from __future__ import annotations

from sqlalchemy.orm import DeclarativeBase

from services.common.tables import TYPES, new_metadata, outbox_table, set_aside_table


class Base(DeclarativeBase):
    """All tables of identity."""

    metadata = new_metadata()
    type_annotation_map = TYPES


outbox_table(Base.metadata)
set_aside_table(Base.metadata)
