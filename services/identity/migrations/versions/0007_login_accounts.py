"""A view of accounts with the role of each, for the statements of logging in."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Applies the change."""
    op.execute(
        """
        CREATE VIEW login_accounts AS
        SELECT
          a.id, a.user_name, a.email, a.email_confirmed, a.phone, a.password_hash, a.status,
          a.session_version, coalesce(s.role, 'member') AS role
        FROM accounts a LEFT JOIN staff s ON s.id = a.id
        """
    )
