"""Where a member stands, and by which phone numbers a person who had a first login is known again."""

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
    op.create_table(
        "known_phones",
        sa.Column("phone_hash", sa.LargeBinary(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("known_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("phone_hash", name=op.f("pk_known_phones")),
    )
