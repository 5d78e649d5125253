"""Vouchers have images."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Applies the change."""
    op.add_column("vouchers", sa.Column("images", postgresql.JSONB(), server_default="[]", nullable=False))
    op.create_check_constraint(
        op.f("ck_vouchers_images_at_most_ten"), "vouchers", "jsonb_array_length(images) <= 10"
    )
    op.create_index(
        "ix_vouchers_images",
        "vouchers",
        ["images"],
        postgresql_using="gin",
        postgresql_ops={"images": "jsonb_path_ops"},
        postgresql_with={"fastupdate": "off"},
    )
