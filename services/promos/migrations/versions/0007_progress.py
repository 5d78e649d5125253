"""How fast the codes of a set are made."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Applies the change."""
    op.add_column("code_sets", sa.Column("made_at", sa.TIMESTAMP(timezone=True)))
    op.add_column("code_sets", sa.Column("made_per_second", sa.Float()))
