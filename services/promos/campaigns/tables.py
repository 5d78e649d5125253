"""Tables of campaigns."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from services.promos.tables import Base


class KnownPhone(Base):
    """A phone number, as identity's keyed hash, of somebody who had a first login.

    It outlives the account, so that a person who closes it and registers again wins no second prize.
    """

    __tablename__ = "known_phones"

    phone_hash: Mapped[bytes] = mapped_column(primary_key=True)
    member_id: Mapped[UUID]
    known_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Campaign(Base):
    """A campaign for first logins. Its benefit and its codes' expiry are those of its code set.

    `version` counts what staff change; places that are won leave it as it is. `state` is what staff set;
    what readers are told follows from it, the time and the places.
    """

    __tablename__ = "campaigns"
    __table_args__ = (
        CheckConstraint("state IN ('ACTIVE', 'PAUSED', 'ENDED')", name="state_known"),
        CheckConstraint("places_taken BETWEEN 0 AND places", name="places_taken_within_places"),
        CheckConstraint("ends_at > starts_at", name="window"),
    )

    id: Mapped[UUID] = mapped_column(ForeignKey("code_sets.id"), primary_key=True)
    name: Mapped[str]
    description: Mapped[str] = mapped_column(server_default="")
    places: Mapped[int]
    places_taken: Mapped[int] = mapped_column(server_default="0")
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime | None]
    includes_members_without_phone: Mapped[bool]
    state: Mapped[str] = mapped_column(server_default="ACTIVE")
    version: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Winner(Base):
    """A place of a campaign that a member has won, with its code: the member's reward."""

    __tablename__ = "winners"
    __table_args__ = (
        UniqueConstraint("campaign_id", "member_id"),
        Index("ix_winners_member_id", "member_id", "code_id"),
    )

    campaign_id: Mapped[UUID] = mapped_column(ForeignKey("campaigns.id"), primary_key=True)
    rank: Mapped[int] = mapped_column(primary_key=True)
    member_id: Mapped[UUID]
    id: Mapped[UUID] = mapped_column(unique=True)
    code_id: Mapped[UUID] = mapped_column(ForeignKey("codes.id"), unique=True)
    logged_in_at: Mapped[datetime]
    won_at: Mapped[datetime] = mapped_column(server_default=func.now())
