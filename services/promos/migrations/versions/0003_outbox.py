"""One outbox for all messages to other services; a member's registration is kept, as everywhere."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.common.migrations import add_status_version, create_outbox, move_audit_to_outbox

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Applies the change."""
    create_outbox()
    move_audit_to_outbox()
    op.add_column("members", sa.Column("registered_at", sa.DateTime(timezone=True)))
    add_status_version()
