"""The table of refunds."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, false, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.points.tables import Base


class Refund(Base):
    """What came back of a purchase, and which points went with it."""

    __tablename__ = "refunds"
    __table_args__ = (
        CheckConstraint("points = taken + owed + expired + waived", name="points_sum"),
        CheckConstraint("least(taken, owed, expired, waived) >= 0", name="points_floor"),
    )

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    purchase_id: Mapped[UUID] = mapped_column(primary_key=True)
    refund_number: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes]
    lines: Mapped[list[Any]] = mapped_column(JSONB)  # [[line, pieces] or [line, 0, thousandths], …]
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    points: Mapped[int]
    taken: Mapped[int]
    owed: Mapped[int]
    expired: Mapped[int]
    waived: Mapped[int]
    reason: Mapped[str]
    actor_id: Mapped[str]
    actor_role: Mapped[str]
    balance_after: Mapped[int | None]  # NULL when there was no member
    refunded_at: Mapped[datetime] = mapped_column(server_default=func.now())
    recorded_at: Mapped[datetime | None] = mapped_column(server_default=func.now())  # NULL: when refunded
    voids: Mapped[bool] = mapped_column(server_default=false())
