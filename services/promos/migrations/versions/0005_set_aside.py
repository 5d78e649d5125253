"""What fails by a defect is set aside, and listed for staff."""

from __future__ import annotations

from services.common.migrations import create_set_aside

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Applies the change."""
    create_set_aside()
