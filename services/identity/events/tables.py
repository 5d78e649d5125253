"""Tables of events of members."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, false, func
from sqlalchemy.orm import Mapped, mapped_column

from services.identity.tables import Base


class MemberEvent(Base):
    """A member event, as it was sent to the other services. The log is kept."""

    __tablename__ = "member_events"

    member_id: Mapped[UUID] = mapped_column(ForeignKey("members.id"), primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    id: Mapped[UUID] = mapped_column(unique=True)
    type: Mapped[str]
    occurred_at: Mapped[datetime] = mapped_column(server_default=func.now())
    phone_hash: Mapped[bytes | None]
    shares_contact: Mapped[bool] = mapped_column(server_default=false())
