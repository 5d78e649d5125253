"""Tables of identity."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    SmallInteger,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.common.tables import TYPES, new_metadata


class Base(DeclarativeBase):
    """All tables of identity."""

    metadata = new_metadata()
    type_annotation_map = TYPES


class Member(Base):
    """A customer with an account."""

    __tablename__ = "members"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    full_name: Mapped[str]
    phone: Mapped[str] = mapped_column(unique=True)
    member_code: Mapped[str] = mapped_column(unique=True)
    event_version: Mapped[int] = mapped_column(BigInteger)
    registered_at: Mapped[datetime] = mapped_column(server_default=func.now())


class MemberEvent(Base):
    """Something that happened to a member and that the other services hear of."""

    __tablename__ = "member_events"

    member_id: Mapped[UUID] = mapped_column(ForeignKey("members.id"), primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    id: Mapped[UUID] = mapped_column(unique=True)
    type: Mapped[str]
    occurred_at: Mapped[datetime] = mapped_column(server_default=func.now())


class MemberEventDelivery(Base):
    """Up to which version a service has heard of a member."""

    __tablename__ = "member_event_deliveries"

    service: Mapped[str] = mapped_column(primary_key=True)
    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    delivered_version: Mapped[int] = mapped_column(BigInteger)


class Otp(Base):
    """A one-time password; only a keyed hash of its code is kept."""

    __tablename__ = "otps"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    phone: Mapped[str]
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


class Staff(Base):
    """Somebody who works for the retailer."""

    __tablename__ = "staff"
    __table_args__ = (
        CheckConstraint("role IN ('admin', 'manager', 'cashier')", name="role_known"),
        CheckConstraint("user_name = lower(user_name)", name="user_name_lower"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_name: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    role: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Client(Base):
    """A till or a store server."""

    __tablename__ = "clients"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    display_name: Mapped[str] = mapped_column(unique=True)
    secret_hash: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class SigningKey(Base):
    """A key that signs tokens; its private part is encrypted."""

    __tablename__ = "signing_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    private_key: Mapped[bytes]
    public_jwk: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class AuditEntry(Base):
    """A change made by staff in any service."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index("ix_audit_entries_actor_id", "actor_id", "id"),
        Index("ix_audit_entries_action", "action", "id"),
        Index("ix_audit_entries_target_id", "target_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    service: Mapped[str]
    actor_id: Mapped[str]
    actor_role: Mapped[str]
    action: Mapped[str]
    target_id: Mapped[str]
    occurred_at: Mapped[datetime]
    details: Mapped[dict[str, Any]] = mapped_column(JSONB)
