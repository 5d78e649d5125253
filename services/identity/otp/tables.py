"""Tables of one-time passwords."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, func, text
from sqlalchemy.orm import Mapped, mapped_column

from services.identity.tables import Base


class Otp(Base):
    """A one-time password, sent to a number or an e-mail address; only a keyed hash of its code is kept."""

    __tablename__ = "otps"
    __table_args__ = (
        CheckConstraint("num_nonnulls(phone, email) = 1", name="one_recipient"),
        CheckConstraint(
            "phone IS NOT NULL OR purpose <> 'OTP_PURPOSE_CHANGE_PHONE'", name="purposes_of_email"
        ),
        CheckConstraint(
            "email IS NOT NULL OR purpose <> 'OTP_PURPOSE_CONFIRM_EMAIL'", name="purposes_of_phone"
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    phone: Mapped[str | None]
    email: Mapped[str | None]
    purpose: Mapped[str]
    code_hash: Mapped[bytes]
    tries: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None]


class SandboxOtp(Base):
    """The code of a one-time password, kept readable only while the sandbox is on."""

    __tablename__ = "sandbox_otps"

    otp_id: Mapped[UUID] = mapped_column(ForeignKey("otps.id", ondelete="CASCADE"), primary_key=True)
    code: Mapped[str]


class OtpDelivery(Base):
    """A one-time password that is not sent. Its code is encrypted, and gone once it is too late."""

    __tablename__ = "otp_deliveries"
    __table_args__ = (
        CheckConstraint("(failed_at IS NULL) = (sealed_code IS NOT NULL)", name="code_while_it_waits"),
        Index("ix_otp_deliveries_created_at", "created_at", "otp_id"),
        Index(
            "ix_otp_deliveries_waiting", "created_at", "otp_id", postgresql_where=text("failed_at IS NULL")
        ),
    )

    otp_id: Mapped[UUID] = mapped_column(ForeignKey("otps.id", ondelete="CASCADE"), primary_key=True)
    sealed_code: Mapped[bytes | None]
    language: Mapped[str] = mapped_column(server_default="en")
    tries: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    last_error: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    tried_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]
