"""Tables of members."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from services.vouchers.tables import Base


class Member(Base):
    """What identity has told of a member."""

    __tablename__ = "members"
    __table_args__ = (CheckConstraint("status IN ('ACTIVE', 'SUSPENDED', 'CLOSED')", name="status_known"),)

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    registered_at: Mapped[datetime | None]
    status: Mapped[str] = mapped_column(server_default="ACTIVE")
