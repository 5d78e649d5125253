"""Tables of messages to people."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, func
from sqlalchemy.orm import Mapped, mapped_column

from services.identity.tables import Base


class Notice(Base):
    """A notice to a member. Its number or address is encrypted, and gone once it was sent or is too late.

    `recipient` is what of it staff may see. One of a gift has the gift's id, is about its giver's account and
    PREPARED until the gift is on offer. Kept for 7 days.
    """

    __tablename__ = "notices"
    __table_args__ = (
        CheckConstraint("state IN ('PREPARED', 'WAITING', 'SENT', 'FAILED')", name="state_known"),
        CheckConstraint(
            "(state IN ('PREPARED', 'WAITING')) = (sealed_recipient IS NOT NULL)",
            name="recipient_while_it_waits",
        ),
        Index("ix_notices_created", "created_at", "id"),
        Index("ix_notices_state", "state", "created_at", "id"),
        Index("ix_notices_member", "member_id", "created_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    member_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    kind: Mapped[str]
    language: Mapped[str]
    recipient: Mapped[str]
    sealed_recipient: Mapped[bytes | None]
    state: Mapped[str]
    tries: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    last_error: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    tried_at: Mapped[datetime | None]
