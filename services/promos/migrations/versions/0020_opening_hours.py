"""Opening hours once for all stores that have them, so that a search for what is open is quick at night."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Applies the change."""
    op.create_table(
        "opening_hours",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("open_minutes", postgresql.INT4MULTIRANGE(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_opening_hours")),
        sa.UniqueConstraint(
            "open_minutes", "time_zone", name=op.f("uq_opening_hours_open_minutes_time_zone")
        ),
    )
    op.add_column("stores", sa.Column("hours_id", sa.BigInteger(), nullable=True))
    op.create_foreign_key(op.f("fk_stores_hours_id"), "stores", "opening_hours", ["hours_id"], ["id"])
    op.execute(
        """
        INSERT INTO opening_hours (time_zone, open_minutes)
        SELECT DISTINCT time_zone, open_minutes FROM stores WHERE open_minutes IS NOT NULL
        """
    )
    op.execute(
        """
        UPDATE stores s SET hours_id = h.id FROM opening_hours h
        WHERE h.time_zone = s.time_zone AND h.open_minutes = s.open_minutes
        """
    )
    op.create_index(
        "ix_stores_hours_id", "stores", ["hours_id"], unique=False, postgresql_where=sa.text("published")
    )
