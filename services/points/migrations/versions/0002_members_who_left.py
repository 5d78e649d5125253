"""What becomes of points when a member is suspended or closes the account."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Applies the change."""
    op.add_column("members", sa.Column("status", sa.Text(), server_default="ACTIVE", nullable=False))
    op.create_check_constraint(
        op.f("ck_members_status_known"), "members", "status IN ('ACTIVE', 'SUSPENDED', 'CLOSED')"
    )
    op.add_column("accounts", sa.Column("closed", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_check_constraint(op.f("ck_accounts_closed_empty"), "accounts", "balance = 0 OR NOT closed")
    op.create_index(op.f("ix_member_codes_member_id"), "member_codes", ["member_id"])
    op.drop_constraint(op.f("ck_ledger_entries_kind_known"), "ledger_entries")
    op.create_check_constraint(
        op.f("ck_ledger_entries_kind_known"),
        "ledger_entries",
        "kind IN ('EARN', 'SPEND', 'SPEND_UNDONE', 'FORFEIT')",
    )
