"""Tables of what is known of members."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from services.points.base import Base


class Member(Base):
    """What identity told of a member. Version 0 is that of one of whom only a code is known yet."""

    __tablename__ = "members"
    __table_args__ = (CheckConstraint("status IN ('ACTIVE', 'SUSPENDED', 'CLOSED')", name="status_known"),)

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    registered_at: Mapped[datetime | None]
    status: Mapped[str] = mapped_column(server_default="ACTIVE")


class MemberCode(Base):
    """A member code that identity resolved. Keyed by the code, for that is what a till sends.

    Members who are suspended or gone have none here.
    """

    __tablename__ = "member_codes"

    member_code: Mapped[str] = mapped_column(primary_key=True)
    member_id: Mapped[UUID] = mapped_column(index=True)
