"""Codes on hold for gifts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

_MOMENT = sa.TIMESTAMP(timezone=True)


def upgrade() -> None:
    """Applies the change."""
    op.add_column("codes", sa.Column("gift_id", sa.Uuid()))
    op.create_table(
        "code_holds",
        sa.Column("gift_id", sa.Uuid(), nullable=False),
        sa.Column("code_id", sa.Uuid(), nullable=True),
        sa.Column("new_owner_id", sa.Uuid(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", _MOMENT, nullable=True),
        sa.CheckConstraint(
            "state IN ('HELD', 'TRANSFERRED', 'RETURNED')", name=op.f("ck_code_holds_state_known")
        ),
        sa.CheckConstraint(
            "state = 'RETURNED' OR code_id IS NOT NULL", name=op.f("ck_code_holds_held_is_whole")
        ),
        sa.CheckConstraint(
            "(state = 'TRANSFERRED') = (new_owner_id IS NOT NULL)",
            name=op.f("ck_code_holds_transferred_to_somebody"),
        ),
        sa.PrimaryKeyConstraint("gift_id", name=op.f("pk_code_holds")),
    )
