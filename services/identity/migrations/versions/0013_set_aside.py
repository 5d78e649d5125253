"""What fails by a defect is set aside, and listed for staff."""

from __future__ import annotations

from services.common.migrations import create_set_aside

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Applies the change."""
    create_set_aside()
