"""Versions of what staff change, indexes for the sort orders of lists, deleted tills, and look-ups."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.common.migrations import execute

revision = "0012"
down_revision = "0011"

_NOT_DELETED = sa.text("NOT deleted")
_WAITING = sa.text("failed_at IS NULL")


def upgrade() -> None:
    """Applies the change."""
    for table in ("accounts", "clients"):
        version = sa.Column("version", sa.BigInteger(), server_default="1", nullable=False)
        op.add_column(table, version)
    _members_by_time_and_name()
    _tills_deleted()
    _otp_deliveries_by_time()
    _look_ups()
    _views()


def _members_by_time_and_name() -> None:
    # Lists show when the account was made. The two are one moment for whoever registered since there are
    # accounts; those from before get theirs.
    execute(
        """
        UPDATE accounts SET created_at = members.registered_at FROM members
        WHERE members.id = accounts.id AND members.registered_at <> accounts.created_at
        """
    )
    op.create_index("ix_accounts_created_at", "accounts", ["created_at", "id"])
    op.drop_index("ix_accounts_out", "accounts")
    op.create_index(
        "ix_accounts_out",
        "accounts",
        ["status", "created_at", "id"],
        postgresql_where=sa.text("status <> 'ACTIVE' AND kind = 'MEMBER'"),
    )
    op.drop_index("ix_members_name_prefix", "members")
    op.create_index("ix_members_name", "members", [sa.text("lower(full_name COLLATE pg_c_utf8)"), "id"])


def _tills_deleted() -> None:
    op.add_column("clients", sa.Column("deleted", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_check_constraint(op.f("ck_clients_deleted_is_disabled"), "clients", "NOT (deleted AND enabled)")
    op.drop_constraint("uq_clients_display_name", "clients")
    op.create_index(
        "uq_clients_display_name", "clients", ["display_name"], unique=True, postgresql_where=_NOT_DELETED
    )


def _otp_deliveries_by_time() -> None:
    op.create_index("ix_otp_deliveries_created_at", "otp_deliveries", ["created_at", "otp_id"])
    op.drop_index("ix_otp_deliveries_waiting", "otp_deliveries")
    op.create_index(
        "ix_otp_deliveries_waiting", "otp_deliveries", ["created_at", "otp_id"], postgresql_where=_WAITING
    )


def _look_ups() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "look_ups",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("looked_up_at", moment, server_default=sa.text("now()"), nullable=False),
        sa.Column("caller_id", sa.Uuid(), nullable=False),
        sa.Column("caller_role", sa.Text(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.CheckConstraint("method IN ('PHONE', 'MEMBER_CODE')", name=op.f("ck_look_ups_method_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_look_ups")),
    )
    op.create_index("ix_look_ups_looked_up_at", "look_ups", ["looked_up_at", "id"])
    for column in ("member_id", "caller_id"):
        op.create_index(f"ix_look_ups_{column}", "look_ups", [column, "looked_up_at", "id"])


def _views() -> None:
    execute(
        """
        CREATE OR REPLACE VIEW member_accounts AS
        SELECT
          m.id, m.full_name, a.phone, a.created_at AS registered_at, a.user_name, a.email, a.email_confirmed,
          m.birthday, a.password_hash IS NOT NULL AS has_password, m.shares_contact, m.consent_wording,
          m.consent_at, a.status, a.kind, m.member_code, a.pending_email,
          a.id AS account_id, lower(m.full_name COLLATE pg_c_utf8) AS name_key, a.version
        FROM members m JOIN accounts a ON a.id = m.id;

        CREATE OR REPLACE VIEW staff_accounts AS
        SELECT
          s.id, a.user_name, s.full_name, s.role, a.status = 'ACTIVE' AS enabled, a.created_at, a.version
        FROM staff s JOIN accounts a ON a.id = s.id
        WHERE a.status <> 'CLOSED';
        """
    )
