"""Notices of gifts, which are prepared before they are sent."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Applies the change."""
    for name, rule in {
        "state_known": "state IN ('PREPARED', 'WAITING', 'SENT', 'FAILED')",
        "recipient_while_it_waits": "(state IN ('PREPARED', 'WAITING')) = (sealed_recipient IS NOT NULL)",
    }.items():
        op.drop_constraint(op.f(f"ck_notices_{name}"), "notices")
        op.create_check_constraint(op.f(f"ck_notices_{name}"), "notices", rule)
