"""Tables of members."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, false, func, text
from sqlalchemy.orm import Mapped, mapped_column

from services.identity.tables import Base


class Member(Base):
    """A customer. Empty texts and no birthday once the account is closed."""

    __tablename__ = "members"
    __table_args__ = (
        Index("ix_members_name", text("lower(full_name COLLATE pg_c_utf8)"), "id"),
        Index("ix_members_code_prefix", "member_code", postgresql_ops={"member_code": "text_pattern_ops"}),
    )

    id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    full_name: Mapped[str]
    birthday: Mapped[date | None]
    member_code: Mapped[str] = mapped_column(unique=True)
    event_version: Mapped[int] = mapped_column(BigInteger)
    shares_contact: Mapped[bool] = mapped_column(server_default=false())
    consent_wording: Mapped[str | None]
    consent_at: Mapped[datetime | None]
    registered_at: Mapped[datetime] = mapped_column(server_default=func.now())
