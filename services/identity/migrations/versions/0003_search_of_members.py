"""Indexes for finding members by the beginning of what they are known by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Applies the change."""
    op.create_index(
        "ix_members_name_prefix",
        "members",
        [sa.text("lower(full_name COLLATE pg_c_utf8)")],
    )
    op.create_index(
        "ix_members_code_prefix",
        "members",
        ["member_code"],
        postgresql_ops={"member_code": "text_pattern_ops"},
    )
    for column in ("user_name", "email", "phone"):
        op.create_index(
            f"ix_accounts_{column}_prefix",
            "accounts",
            [column],
            postgresql_ops={column: "text_pattern_ops"},
        )
    op.create_index(
        "ix_accounts_out",
        "accounts",
        ["status", "id"],
        postgresql_where=sa.text("status <> 'ACTIVE' AND kind = 'MEMBER'"),
    )
