"""Tables of imports of codes."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from services.promos.tables import Base


class CodeImport(Base):
    """A file of codes that was taken into a set, line by line."""

    __tablename__ = "code_imports"
    __table_args__ = (
        CheckConstraint("imported BETWEEN 0 AND lines", name="counts"),
        Index("ix_code_imports_code_set_id", "code_set_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    code_set_id: Mapped[UUID]
    lines: Mapped[int]
    imported: Mapped[int]
    created_by: Mapped[UUID]
    created_role: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class CodeImportRefusal(Base):
    """A line of such a file whose code was not taken, as it stood there, and why."""

    __tablename__ = "code_import_refusals"

    import_id: Mapped[UUID] = mapped_column(ForeignKey("code_imports.id"), primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str]
    uses: Mapped[str]
    outcome: Mapped[str]
