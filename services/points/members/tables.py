"""Tables of what is known of members."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from services.points.tables import Base


class MemberCode(Base):
    """A member code that identity resolved. Keyed by the code, for that is what a till sends.

    Members who are suspended or gone have none here.
    """

    __tablename__ = "member_codes"

    member_code: Mapped[str] = mapped_column(primary_key=True)
    member_id: Mapped[UUID] = mapped_column(index=True)
