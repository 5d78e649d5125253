"""How imported codes were written."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Applies the change."""
    op.add_column("codes", sa.Column("written", sa.Text()))
