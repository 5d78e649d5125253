"""One-time passwords that a worker sends."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Applies the change."""
    op.create_table(
        "otp_deliveries",
        sa.Column("otp_id", sa.Uuid(), nullable=False),
        sa.Column("sealed_code", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["otp_id"], ["otps.id"], name=op.f("fk_otp_deliveries_otp_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("otp_id", name=op.f("pk_otp_deliveries")),
    )
