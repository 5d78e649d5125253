"""The brand that a brand manager works for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.common.migrations import execute

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Applies the change."""
    op.add_column("staff", sa.Column("brand_id", sa.Uuid(), nullable=True))
    op.create_check_constraint(
        op.f("ck_staff_brand_of_brand_manager"), "staff", "brand_id IS NULL OR role = 'brand_manager'"
    )
    execute(
        """
        CREATE OR REPLACE VIEW staff_accounts AS
        SELECT
          s.id, a.user_name, s.full_name, s.role, a.status = 'ACTIVE' AS enabled, a.created_at, a.version,
          s.brand_id
        FROM staff s JOIN accounts a ON a.id = s.id
        WHERE a.status <> 'CLOSED';

        CREATE OR REPLACE VIEW login_accounts AS
        SELECT
          a.id, a.user_name, a.email, a.email_confirmed, a.phone, a.password_hash, a.status,
          a.session_version, coalesce(s.role, 'member') AS role, s.brand_id
        FROM accounts a LEFT JOIN staff s ON s.id = a.id;
        """
    )
