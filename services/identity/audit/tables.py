"""Tables of the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.identity.tables import Base


class AuditEntry(Base):
    """A change made by staff in any service."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index("ix_audit_entries_occurred_at", "occurred_at", "id"),
        Index("ix_audit_entries_actor_id", "actor_id", "occurred_at", "id"),
        Index("ix_audit_entries_action", "action", "occurred_at", "id"),
        Index("ix_audit_entries_target_id", "target_id", "occurred_at", "id"),
        Index("ix_audit_entries_service", "service", "occurred_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    service: Mapped[str]
    actor_id: Mapped[str]
    actor_role: Mapped[str]
    action: Mapped[str]
    target_id: Mapped[str]
    occurred_at: Mapped[datetime]
    details: Mapped[dict[str, Any]] = mapped_column(JSONB)
