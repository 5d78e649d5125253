"""Where a member stands."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Applies the change."""
    op.add_column("members", sa.Column("status", sa.Text(), server_default="ACTIVE", nullable=False))
    op.create_check_constraint(
        op.f("ck_members_status_known"), "members", "status IN ('ACTIVE', 'SUSPENDED', 'CLOSED')"
    )
