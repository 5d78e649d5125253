"""Tables of earn rules."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Identity, false, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.points.tables import Base


class EarnRule(Base):
    """What purchases earn, as staff manage it."""

    __tablename__ = "earn_rules"
    __table_args__ = (CheckConstraint("ends_at > starts_at", name="window"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    kind: Mapped[str]  # one of `kinds.py`, which refuses others when it reads them
    effect: Mapped[dict[str, Any]] = mapped_column(JSONB)
    priority: Mapped[int]
    starts_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]
    enabled: Mapped[bool]
    version: Mapped[int] = mapped_column(BigInteger, server_default="1")
    deleted: Mapped[bool] = mapped_column(server_default=false())
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class EarnRuleSet(Base):
    """All rules that were enabled at one time, the programme's settings among them; never changed.

    The newest holds. Purchases keep the number of the one that judged them.
    """

    __tablename__ = "earn_rule_sets"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    content: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
