"""Tables of identity."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    SmallInteger,
    false,
    func,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.common.tables import TYPES, new_metadata, outbox_table


class Base(DeclarativeBase):
    """All tables of identity."""

    metadata = new_metadata()
    type_annotation_map = TYPES


outbox_table(Base.metadata)


class Account(Base):
    """What a person logs in with, member or staff. Whoever makes or ends a login locks this row first.

    `session_version` counts the changes of what BatchCheckSessions answers.
    """

    __tablename__ = "accounts"
    __table_args__ = (
        CheckConstraint("kind IN ('MEMBER', 'STAFF')", name="kind_known"),
        CheckConstraint("status IN ('ACTIVE', 'SUSPENDED', 'CLOSED')", name="status_known"),
        CheckConstraint("user_name = lower(user_name) AND email = lower(email)", name="names_lower"),
        CheckConstraint(
            "status = 'CLOSED' OR phone IS NOT NULL"
            " OR (password_hash IS NOT NULL AND (user_name IS NOT NULL OR email IS NOT NULL))",
            name="way_in",
        ),
        CheckConstraint("email IS NOT NULL OR NOT email_confirmed", name="confirmed_email"),
        *(
            Index(f"ix_accounts_{name}_prefix", name, postgresql_ops={name: "text_pattern_ops"})
            for name in ("user_name", "email", "phone")
        ),
        Index(
            "ix_accounts_out",
            "status",
            "id",
            postgresql_where=text("status <> 'ACTIVE' AND kind = 'MEMBER'"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    user_name: Mapped[str | None] = mapped_column(unique=True)
    email: Mapped[str | None] = mapped_column(unique=True)
    email_confirmed: Mapped[bool] = mapped_column(server_default=false())
    phone: Mapped[str | None] = mapped_column(unique=True)
    password_hash: Mapped[str | None]
    status: Mapped[str] = mapped_column(server_default="ACTIVE")
    session_version: Mapped[int] = mapped_column(BigInteger, server_default="0")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Member(Base):
    """A customer. Empty texts and no birthday once the account is closed."""

    __tablename__ = "members"
    __table_args__ = (
        Index("ix_members_name_prefix", text("lower(full_name COLLATE pg_c_utf8)")),
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


class Session(Base):
    """A login: on one device, from logging in to its end."""

    __tablename__ = "sessions"
    __table_args__ = (
        CheckConstraint("(ended_at IS NULL) = (end_reason IS NULL)", name="ended_with_reason"),
        CheckConstraint("end_reason IN ('REPLACED', 'ENDED', 'REUSED')", name="end_reason_known"),
        Index("ix_sessions_active", "account_id", postgresql_where=text("ended_at IS NULL")),
        Index("ix_sessions_expires_at", "expires_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    device_id: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    end_reason: Mapped[str | None]


class SessionEpoch(Base):
    """One row. A change of logins that Redis could not be told of changes it, and so voids what it holds."""

    __tablename__ = "session_epochs"
    __table_args__ = (CheckConstraint("id = 1", name="only_one"),)

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    epoch: Mapped[UUID]


class RefreshToken(Base):
    """A link of a login's chain of refresh tokens; only its hash is kept.

    `answered_at` and `answer_id` are the times and id of the access token that using it gave, so that
    a lost answer can be given again.
    """

    __tablename__ = "refresh_tokens"

    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    used_at: Mapped[datetime | None]
    answer_id: Mapped[UUID | None]


class MemberEvent(Base):
    """Something that happened to a member and that the other services are told. The log of it is kept."""

    __tablename__ = "member_events"

    member_id: Mapped[UUID] = mapped_column(ForeignKey("members.id"), primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    id: Mapped[UUID] = mapped_column(unique=True)
    type: Mapped[str]
    occurred_at: Mapped[datetime] = mapped_column(server_default=func.now())
    phone_hash: Mapped[bytes | None]
    shares_contact: Mapped[bool] = mapped_column(server_default=false())


class Otp(Base):
    """A one-time password, sent to a number or an e-mail address; only a keyed hash of its code is kept."""

    __tablename__ = "otps"
    __table_args__ = (
        CheckConstraint("num_nonnulls(phone, email) = 1", name="one_recipient"),
        CheckConstraint(
            "phone IS NOT NULL OR purpose IN"
            " ('OTP_PURPOSE_LOG_IN', 'OTP_PURPOSE_RESET_PASSWORD', 'OTP_PURPOSE_CONFIRM_EMAIL')",
            name="purposes_of_email",
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
        Index("ix_otp_deliveries_waiting", "otp_id", postgresql_where=text("failed_at IS NULL")),
    )

    otp_id: Mapped[UUID] = mapped_column(ForeignKey("otps.id", ondelete="CASCADE"), primary_key=True)
    sealed_code: Mapped[bytes | None]
    tries: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    last_error: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    tried_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]


class Staff(Base):
    """Somebody who works for the retailer or a brand."""

    __tablename__ = "staff"
    __table_args__ = (
        CheckConstraint("role IN ('admin', 'manager', 'cashier', 'brand_manager')", name="role_known"),
    )

    id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    full_name: Mapped[str]
    role: Mapped[str]


class Client(Base):
    """A till or a store server. The old secret goes on until `old_secret_ends_at`."""

    __tablename__ = "clients"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    display_name: Mapped[str] = mapped_column(unique=True)
    secret_hash: Mapped[bytes]
    old_secret_hash: Mapped[bytes | None]
    old_secret_ends_at: Mapped[datetime | None]
    enabled: Mapped[bool] = mapped_column(server_default=true())
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class SigningKey(Base):
    """A key that signs tokens; its private part is encrypted.

    It is published from its making, signs from `signs_from` until the next one does, and is published
    until the last token that it signed has expired.
    """

    __tablename__ = "signing_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    private_key: Mapped[bytes]
    public_jwk: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    signs_from: Mapped[datetime] = mapped_column(server_default=func.now())


class AuditEntry(Base):
    """A change made by staff in any service."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index("ix_audit_entries_occurred_at", "occurred_at", "id"),
        Index("ix_audit_entries_actor_id", "actor_id", "occurred_at", "id"),
        Index("ix_audit_entries_action", "action", "occurred_at", "id"),
        Index("ix_audit_entries_target_id", "target_id", "occurred_at", "id"),
        Index("ix_audit_entries_service", "service", "occurred_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    service: Mapped[str]
    actor_id: Mapped[str]
    actor_role: Mapped[str]
    action: Mapped[str]
    target_id: Mapped[str]
    occurred_at: Mapped[datetime]
    details: Mapped[dict[str, Any]] = mapped_column(JSONB)
