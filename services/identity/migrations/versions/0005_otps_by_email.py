"""One-time passwords by e-mail, and what is kept of those that were not sent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Applies the change."""
    op.add_column("otps", sa.Column("email", sa.Text(), nullable=True))
    op.alter_column("otps", "phone", existing_type=sa.Text(), nullable=True)
    op.create_check_constraint(op.f("ck_otps_one_recipient"), "otps", "num_nonnulls(phone, email) = 1")
    op.create_check_constraint(
        op.f("ck_otps_purposes_of_email"),
        "otps",
        "phone IS NOT NULL OR purpose IN ('OTP_PURPOSE_LOG_IN', 'OTP_PURPOSE_RESET_PASSWORD')",
    )
    op.alter_column("otp_deliveries", "sealed_code", existing_type=sa.LargeBinary(), nullable=True)
    op.add_column("otp_deliveries", sa.Column("tries", sa.SmallInteger(), server_default="0", nullable=False))
    op.add_column("otp_deliveries", sa.Column("last_error", sa.Text(), server_default="", nullable=False))
    op.add_column(
        "otp_deliveries",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    )
    op.add_column("otp_deliveries", sa.Column("tried_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("otp_deliveries", sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint(
        op.f("ck_otp_deliveries_code_while_it_waits"),
        "otp_deliveries",
        "(failed_at IS NULL) = (sealed_code IS NOT NULL)",
    )
    op.create_index(
        "ix_otp_deliveries_waiting",
        "otp_deliveries",
        ["otp_id"],
        postgresql_where=sa.text("failed_at IS NULL"),
    )
