"""Tables of look-ups."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from services.identity.tables import Base


class LookUp(Base):
    """That a till or a cashier looked a member up. Kept for 90 days; holds ids alone."""

    __tablename__ = "look_ups"
    __table_args__ = (
        CheckConstraint("method IN ('PHONE', 'MEMBER_CODE')", name="method_known"),
        Index("ix_look_ups_looked_up_at", "looked_up_at", "id"),
        Index("ix_look_ups_member_id", "member_id", "looked_up_at", "id"),
        Index("ix_look_ups_caller_id", "caller_id", "looked_up_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    looked_up_at: Mapped[datetime] = mapped_column(server_default=func.now())
    caller_id: Mapped[UUID]
    caller_role: Mapped[str]
    member_id: Mapped[UUID]
    method: Mapped[str]
