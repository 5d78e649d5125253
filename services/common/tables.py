"""What the tables of all services have in common: names for constraints, and column types."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, LargeBinary, MetaData, Text

TYPES: dict[Any, Any] = {datetime: DateTime(timezone=True), str: Text, bytes: LargeBinary}
"""Column types by annotation: moments in UTC, texts without a length of their own."""


def new_metadata() -> MetaData:
    """Metadata that gives every constraint a name, for a violated one is known by its name."""
    return MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "ix": "ix_%(table_name)s_%(column_0_name)s",
        }
    )
