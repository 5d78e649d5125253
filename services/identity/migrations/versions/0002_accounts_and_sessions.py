"""Accounts hold what people log in with; logins, refresh tokens, rotation of keys and secrets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Applies the change."""
    _accounts()
    _sessions()
    _members_and_staff()
    _audit_by_time()
    moment = sa.DateTime(timezone=True)
    op.add_column("member_events", sa.Column("phone_hash", sa.LargeBinary()))
    op.add_column(
        "member_events", sa.Column("shares_contact", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.add_column("clients", sa.Column("old_secret_hash", sa.LargeBinary()))
    op.add_column("clients", sa.Column("old_secret_ends_at", moment))
    op.add_column("clients", sa.Column("enabled", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.add_column(
        "signing_keys", sa.Column("signs_from", moment, server_default=sa.text("now()"), nullable=False)
    )
    op.execute("UPDATE signing_keys SET signs_from = created_at")


def _accounts() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "accounts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("user_name", sa.Text()),
        sa.Column("email", sa.Text()),
        sa.Column("phone", sa.Text()),
        sa.Column("password_hash", sa.Text()),
        sa.Column("status", sa.Text(), server_default="ACTIVE", nullable=False),
        sa.Column("session_version", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", moment, server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind IN ('MEMBER', 'STAFF')", name=op.f("ck_accounts_kind_known")),
        sa.CheckConstraint(
            "status IN ('ACTIVE', 'SUSPENDED', 'CLOSED')", name=op.f("ck_accounts_status_known")
        ),
        sa.CheckConstraint(
            "user_name = lower(user_name) AND email = lower(email)", name=op.f("ck_accounts_names_lower")
        ),
        sa.CheckConstraint(
            "status = 'CLOSED' OR phone IS NOT NULL"
            " OR (password_hash IS NOT NULL AND (user_name IS NOT NULL OR email IS NOT NULL))",
            name=op.f("ck_accounts_way_in"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("user_name", name=op.f("uq_accounts_user_name")),
        sa.UniqueConstraint("email", name=op.f("uq_accounts_email")),
        sa.UniqueConstraint("phone", name=op.f("uq_accounts_phone")),
    )
    op.execute(
        "INSERT INTO accounts (id, kind, phone, created_at)"
        " SELECT id, 'MEMBER', phone, registered_at FROM members"
    )
    op.execute(
        "INSERT INTO accounts (id, kind, user_name, password_hash, created_at)"
        " SELECT id, 'STAFF', user_name, password_hash, created_at FROM staff"
    )


def _sessions() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("created_at", moment, server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", moment, nullable=False),
        sa.Column("ended_at", moment),
        sa.Column("end_reason", sa.Text()),
        sa.CheckConstraint(
            "(ended_at IS NULL) = (end_reason IS NULL)", name=op.f("ck_sessions_ended_with_reason")
        ),
        sa.CheckConstraint(
            "end_reason IN ('REPLACED', 'ENDED', 'REUSED')", name=op.f("ck_sessions_end_reason_known")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_sessions_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
    )
    op.create_index(
        "ix_sessions_active", "sessions", ["account_id"], postgresql_where=sa.text("ended_at IS NULL")
    )
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"])
    op.create_table(
        "refresh_tokens",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", moment, server_default=sa.text("now()"), nullable=False),
        sa.Column("used_at", moment),
        sa.Column("answer_id", sa.Uuid()),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_refresh_tokens_session_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_refresh_tokens")),
    )
    op.create_index(op.f("ix_refresh_tokens_session_id"), "refresh_tokens", ["session_id"])
    op.create_table(
        "session_epochs",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.Uuid(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_session_epochs_only_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_session_epochs")),
    )
    op.execute("INSERT INTO session_epochs (id, epoch) VALUES (1, gen_random_uuid())")


def _members_and_staff() -> None:
    op.add_column("members", sa.Column("birthday", sa.Date()))
    op.add_column(
        "members", sa.Column("shares_contact", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.add_column("members", sa.Column("consent_wording", sa.Text()))
    op.add_column("members", sa.Column("consent_at", sa.DateTime(timezone=True)))
    op.drop_column("members", "phone")
    op.create_foreign_key(op.f("fk_members_id"), "members", "accounts", ["id"], ["id"])
    op.add_column("staff", sa.Column("full_name", sa.Text(), server_default="", nullable=False))
    op.alter_column("staff", "full_name", server_default=None)
    op.drop_constraint("ck_staff_user_name_lower", "staff")
    op.drop_constraint("ck_staff_role_known", "staff")
    op.create_check_constraint(
        op.f("ck_staff_role_known"), "staff", "role IN ('admin', 'manager', 'cashier', 'brand_manager')"
    )
    for column in ("user_name", "password_hash", "created_at"):
        op.drop_column("staff", column)
    op.create_foreign_key(op.f("fk_staff_id"), "staff", "accounts", ["id"], ["id"])


def _audit_by_time() -> None:
    """The list is in order of the time of the change, whatever it is filtered by."""
    for column in ("actor_id", "action", "target_id"):
        op.drop_index(f"ix_audit_entries_{column}", "audit_entries")
        op.create_index(f"ix_audit_entries_{column}", "audit_entries", [column, "occurred_at", "id"])
    op.create_index("ix_audit_entries_occurred_at", "audit_entries", ["occurred_at", "id"])
    op.create_index("ix_audit_entries_service", "audit_entries", ["service", "occurred_at", "id"])
