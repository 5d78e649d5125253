"""Tables of accounts."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, false, func, text
from sqlalchemy.orm import Mapped, mapped_column

from services.identity.tables import Base


class Account(Base):
    """What a person logs in with, member or staff. A change that makes or ends a login locks this row first.

    `session_version` counts the changes of what BatchCheckSessions returns; `version`, the etag, those of
    what staff see of the account and its member or staff. `pending_email` is an address that is wanted and
    not proven: any number of accounts may want one, and it lets nobody in.
    """

    __tablename__ = "accounts"
    __table_args__ = (
        CheckConstraint("kind IN ('MEMBER', 'STAFF')", name="kind_known"),
        CheckConstraint("status IN ('ACTIVE', 'SUSPENDED', 'CLOSED')", name="status_known"),
        CheckConstraint("user_name = lower(user_name) AND email = lower(email)", name="names_lower"),
        CheckConstraint("pending_email = lower(pending_email)", name="pending_lower"),
        CheckConstraint(
            "status = 'CLOSED' OR phone IS NOT NULL"
            " OR (password_hash IS NOT NULL AND (user_name IS NOT NULL OR email IS NOT NULL))"
            " OR (email IS NOT NULL AND email_confirmed)",
            name="way_in",
        ),
        CheckConstraint("email IS NOT NULL OR NOT email_confirmed", name="confirmed_email"),
        *(
            Index(f"ix_accounts_{name}_prefix", name, postgresql_ops={name: "text_pattern_ops"})
            for name in ("user_name", "email", "phone")
        ),
        Index("ix_accounts_created_at", "created_at", "id"),
        Index(
            "ix_accounts_out",
            "status",
            "created_at",
            "id",
            postgresql_where=text("status <> 'ACTIVE' AND kind = 'MEMBER'"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    user_name: Mapped[str | None] = mapped_column(unique=True)
    email: Mapped[str | None] = mapped_column(unique=True)
    email_confirmed: Mapped[bool] = mapped_column(server_default=false())
    pending_email: Mapped[str | None]
    phone: Mapped[str | None] = mapped_column(unique=True)
    password_hash: Mapped[str | None]
    status: Mapped[str] = mapped_column(server_default="ACTIVE")
    session_version: Mapped[int] = mapped_column(BigInteger, server_default="0")
    version: Mapped[int] = mapped_column(BigInteger, server_default="1")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class KnownPlace(Base):
    """A device or network address from which somebody has logged in to an account, as a keyed hash."""

    __tablename__ = "known_places"

    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    place_hash: Mapped[bytes] = mapped_column(primary_key=True)
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
