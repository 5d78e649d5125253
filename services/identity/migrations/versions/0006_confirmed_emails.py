"""Whether an e-mail address is its member's, and one-time passwords that prove it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Applies the change. Nobody has proven an address yet."""
    op.add_column(
        "accounts", sa.Column("email_confirmed", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.create_check_constraint(
        op.f("ck_accounts_confirmed_email"), "accounts", "email IS NOT NULL OR NOT email_confirmed"
    )
    op.drop_constraint(op.f("ck_otps_purposes_of_email"), "otps", type_="check")
    op.create_check_constraint(
        op.f("ck_otps_purposes_of_email"),
        "otps",
        "phone IS NOT NULL OR purpose IN"
        " ('OTP_PURPOSE_LOG_IN', 'OTP_PURPOSE_RESET_PASSWORD', 'OTP_PURPOSE_CONFIRM_EMAIL')",
    )
    op.create_check_constraint(
        op.f("ck_otps_purposes_of_phone"),
        "otps",
        "email IS NOT NULL OR purpose <> 'OTP_PURPOSE_CONFIRM_EMAIL'",
    )
