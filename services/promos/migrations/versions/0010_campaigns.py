"""Campaigns have a description, and say whether members without a phone number take part."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Applies the change."""
    op.add_column("campaigns", sa.Column("description", sa.Text(), server_default="", nullable=False))
    # Members without a phone number took part in the campaigns that are there, and go on to.
    op.add_column(
        "campaigns",
        sa.Column(
            "includes_members_without_phone", sa.Boolean(), server_default=sa.text("true"), nullable=False
        ),
    )
    op.alter_column("campaigns", "includes_members_without_phone", server_default=None)
