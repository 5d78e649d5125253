"""The kinds of earn rules stand in the code alone, which refuses those that it does not know."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Applies the change."""
    op.drop_constraint(op.f("ck_earn_rules_kind_known"), "earn_rules")
