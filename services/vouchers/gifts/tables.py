"""Tables of gifts."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.vouchers.tables import Base


class Gift(Base):
    """A wallet voucher that a member gives to a phone number: OFFERED, then ACCEPTED or RETURNED.

    The states ending in ING are on the way there. `recipient_hash` is identity's keyed hash of the number;
    it and the recipient's name are erased at the end. `receiver_id` is who accepted or declined the gift.
    `order_id` is the order that the voucher came from, `notice_id` that under which identity keeps the
    number: the gift, or the order if that was a gift. `refusal` is why it never came to be on offer.
    """

    __tablename__ = "gifts"
    __table_args__ = (
        CheckConstraint(
            "state IN ('OFFERING', 'OFFERED', 'ACCEPTING', 'ACCEPTED', 'RETURNING', 'RETURNED')",
            name="state_known",
        ),
        CheckConstraint(
            "(recipient_hash IS NOT NULL) = (state IN ('OFFERING', 'OFFERED', 'ACCEPTING'))",
            name="recipient_until_it_ends",
        ),
        CheckConstraint("recipient_hash IS NOT NULL OR recipient_name = ''", name="name_until_it_ends"),
        CheckConstraint("(ended_at IS NULL) = (recipient_hash IS NOT NULL)", name="ends_once"),
        CheckConstraint(
            "state NOT IN ('ACCEPTING', 'ACCEPTED') OR receiver_id IS NOT NULL", name="accepted_by_somebody"
        ),
        Index("ix_gifts_giver_id", "giver_id", "given_at", "id"),
        Index(
            "ix_gifts_recipient_hash",
            "recipient_hash",
            "given_at",
            "id",
            postgresql_where=text("recipient_hash IS NOT NULL"),
        ),
        Index(
            "ix_gifts_receiver_id",
            "receiver_id",
            "given_at",
            "id",
            postgresql_where=text("receiver_id IS NOT NULL"),
        ),
        Index("ix_gifts_due", "returns_at", postgresql_where=text("state = 'OFFERED'")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    wallet_voucher_id: Mapped[UUID] = mapped_column(ForeignKey("wallet_vouchers.id"), index=True)
    voucher_id: Mapped[UUID] = mapped_column(ForeignKey("vouchers.id"))
    order_id: Mapped[UUID] = mapped_column(index=True)
    code_id: Mapped[UUID]
    giver_id: Mapped[UUID]
    notice_id: Mapped[UUID]
    recipient_hash: Mapped[bytes | None]
    recipient_name: Mapped[str]
    message: Mapped[str]
    receiver_id: Mapped[UUID | None]
    state: Mapped[str]
    refusal: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    given_at: Mapped[datetime] = mapped_column(server_default=func.now())
    returns_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class RecipientCount(Base):
    """How many pieces of a voucher were given to a phone number. Changed with the voucher locked."""

    __tablename__ = "voucher_recipients"
    __table_args__ = (CheckConstraint("given >= 0", name="given_positive"),)

    voucher_id: Mapped[UUID] = mapped_column(ForeignKey("vouchers.id"), primary_key=True)
    recipient_hash: Mapped[bytes] = mapped_column(primary_key=True)
    given: Mapped[int]
