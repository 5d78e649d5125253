"""Wallets keep copies of their codes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Applies the change."""
    op.create_table(
        "wallet_codes",
        sa.Column("code_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.TIMESTAMP(timezone=True)),
        sa.CheckConstraint(
            "state IN ('USABLE', 'USED', 'EXPIRED', 'VOID')", name=op.f("ck_wallet_codes_state_known")
        ),
        sa.PrimaryKeyConstraint("code_id", name=op.f("pk_wallet_codes")),
    )
