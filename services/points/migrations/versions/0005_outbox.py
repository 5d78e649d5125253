"""One outbox for all messages to other services; a member's first login is kept, as everywhere."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.common.migrations import add_status_version, create_outbox, move_audit_to_outbox

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Applies the change."""
    create_outbox()
    move_audit_to_outbox()
    op.add_column("members", sa.Column("first_login_at", sa.DateTime(timezone=True)))
    add_status_version()
