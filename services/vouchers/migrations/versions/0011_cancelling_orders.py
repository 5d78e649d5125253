"""Until when an order may be cancelled, and what was asked for with its key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Applies the change."""
    op.add_column("orders", sa.Column("cancellable_until", sa.TIMESTAMP(timezone=True)))
    op.add_column("orders", sa.Column("request_hash", sa.LargeBinary()))
