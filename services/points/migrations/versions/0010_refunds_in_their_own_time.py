"""Refunds tell when the goods came back beside when that was recorded, and which of them void a purchase."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Applies the change. Of refunds from before, the two times are one."""
    op.add_column("refunds", sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=True))
    op.alter_column("refunds", "recorded_at", server_default=sa.text("now()"))
    op.add_column("refunds", sa.Column("voids", sa.Boolean(), server_default=sa.false(), nullable=False))
