"""Views of members and staff with what they log in with, for reads across the rooms that own the tables."""

from __future__ import annotations

from services.common.migrations import execute

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Applies the change."""
    execute(
        """
        CREATE VIEW member_accounts AS
        SELECT
          m.id, m.full_name, a.phone, m.registered_at, a.user_name, a.email, a.email_confirmed, m.birthday,
          a.password_hash IS NOT NULL AS has_password, m.shares_contact, m.consent_wording, m.consent_at,
          a.status, a.kind, m.member_code
        FROM members m JOIN accounts a ON a.id = m.id;

        CREATE VIEW staff_accounts AS
        SELECT s.id, a.user_name, s.full_name, s.role, a.status = 'ACTIVE' AS enabled, a.created_at
        FROM staff s JOIN accounts a ON a.id = s.id;

        CREATE VIEW active_admins AS
        SELECT s.id FROM staff s JOIN accounts a ON a.id = s.id
        WHERE s.role = 'admin' AND a.status = 'ACTIVE';
        """
    )
