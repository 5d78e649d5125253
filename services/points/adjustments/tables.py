"""Tables of imports of adjustments."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from services.points.tables import Base


class AdjustmentImport(Base):
    """A file of adjustments."""

    __tablename__ = "adjustment_imports"
    __table_args__ = (
        CheckConstraint("done >= 0 AND refused >= 0 AND done + refused <= lines", name="counts"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    lines: Mapped[int]
    done: Mapped[int] = mapped_column(server_default="0")
    refused: Mapped[int] = mapped_column(server_default="0")
    created_by: Mapped[str]
    created_role: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class AdjustmentImportLine(Base):
    """A line of such a file; `outcome` is none until it is done or refused."""

    __tablename__ = "adjustment_import_lines"
    __table_args__ = (
        Index("ix_adjustment_import_lines_waiting", "import_id", "line", postgresql_where="outcome IS NULL"),
    )

    import_id: Mapped[UUID] = mapped_column(primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True)
    member_id: Mapped[str]  # as it stood in the file
    delta: Mapped[str]
    reason: Mapped[str]
    outcome: Mapped[str | None]
    balance_after: Mapped[int | None]
