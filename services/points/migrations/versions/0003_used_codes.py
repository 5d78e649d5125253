"""Signed member codes, each bound to one receipt."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Applies the change."""
    op.create_table(
        "used_codes",
        sa.Column("code_id", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("till_number", sa.Text(), nullable=False),
        sa.Column("receipt_number", sa.Text(), nullable=False),
        sa.Column("purchase_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("code_id", name=op.f("pk_used_codes")),
    )
