"""Pending e-mail addresses, one-time passwords for a fresh proof, notices to members, languages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.common.migrations import execute

revision = "0010"
down_revision = "0009"

WAY_IN = (
    "status = 'CLOSED' OR phone IS NOT NULL"
    " OR (password_hash IS NOT NULL AND (user_name IS NOT NULL OR email IS NOT NULL))"
    " OR (email IS NOT NULL AND email_confirmed)"
)


def upgrade() -> None:
    """Applies the change. Addresses that are not confirmed stay what they were: names to log in with."""
    op.add_column("accounts", sa.Column("pending_email", sa.Text(), nullable=True))
    op.create_check_constraint(
        op.f("ck_accounts_pending_lower"), "accounts", "pending_email = lower(pending_email)"
    )
    op.drop_constraint(op.f("ck_accounts_way_in"), "accounts", type_="check")
    op.create_check_constraint(op.f("ck_accounts_way_in"), "accounts", WAY_IN)
    op.drop_constraint(op.f("ck_otps_purposes_of_email"), "otps", type_="check")
    op.create_check_constraint(
        op.f("ck_otps_purposes_of_email"),
        "otps",
        "phone IS NOT NULL OR purpose <> 'OTP_PURPOSE_CHANGE_PHONE'",
    )
    op.add_column("otp_deliveries", sa.Column("language", sa.Text(), server_default="en", nullable=False))
    op.create_table(
        "notices",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("sealed_recipient", sa.LargeBinary(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("tries", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("last_error", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("tried_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('WAITING', 'SENT', 'FAILED')", name=op.f("ck_notices_state_known")),
        sa.CheckConstraint(
            "(state = 'WAITING') = (sealed_recipient IS NOT NULL)",
            name=op.f("ck_notices_recipient_while_it_waits"),
        ),
        sa.ForeignKeyConstraint(["member_id"], ["accounts.id"], name=op.f("fk_notices_member_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notices")),
    )
    op.create_index("ix_notices_created", "notices", ["created_at", "id"])
    op.create_index("ix_notices_state", "notices", ["state", "created_at", "id"])
    op.create_index("ix_notices_member", "notices", ["member_id", "created_at", "id"])
    execute(
        """
        CREATE OR REPLACE VIEW member_accounts AS
        SELECT
          m.id, m.full_name, a.phone, m.registered_at, a.user_name, a.email, a.email_confirmed, m.birthday,
          a.password_hash IS NOT NULL AS has_password, m.shares_contact, m.consent_wording, m.consent_at,
          a.status, a.kind, m.member_code, a.pending_email
        FROM members m JOIN accounts a ON a.id = m.id;
        """
    )
