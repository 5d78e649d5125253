"""Codes are made ahead of the sale, in parts; orders tell that they wait for theirs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Applies the change."""
    op.add_column("orders", sa.Column("codes_awaited_at", sa.TIMESTAMP(timezone=True), nullable=True))
    for column in ("codes_wanted", "codes_made"):
        op.add_column("vouchers", sa.Column(column, sa.Integer(), server_default="0", nullable=False))
    # So far all codes of what was published were asked for at once; how many are made, the worker finds out.
    # Nothing is sold any more of what is archived, which may never have been published.
    op.execute(
        """
        UPDATE vouchers SET
          codes_wanted = CASE WHEN state = 'ARCHIVED' THEN issued ELSE quantity END,
          codes_made = CASE WHEN state = 'ARCHIVED' THEN issued ELSE 0 END
        WHERE state <> 'DRAFT'
        """
    )
    op.create_check_constraint(
        op.f("ck_vouchers_codes_made_within_wanted"), "vouchers", "codes_made BETWEEN 0 AND codes_wanted"
    )
    op.create_index(
        "ix_vouchers_lacking_codes",
        "vouchers",
        ["id"],
        unique=False,
        postgresql_where=sa.text("codes_made < codes_wanted"),
    )
