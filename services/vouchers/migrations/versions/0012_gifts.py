"""Gifts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"

_MOMENT = sa.TIMESTAMP(timezone=True)


def upgrade() -> None:
    """Applies the change."""
    _wallet()
    _gifts()


def _wallet() -> None:
    op.add_column("wallet_vouchers", sa.Column("gift_id", sa.Uuid()))
    op.add_column("wallet_vouchers", sa.Column("received_gift_id", sa.Uuid()))
    op.drop_index("ix_wallet_vouchers_member_id", "wallet_vouchers")
    op.create_index("ix_wallet_vouchers_member_id", "wallet_vouchers", ["member_id", "acquired_at", "id"])


def _gifts() -> None:
    op.create_table(
        "gifts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("wallet_voucher_id", sa.Uuid(), nullable=False),
        sa.Column("voucher_id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("code_id", sa.Uuid(), nullable=False),
        sa.Column("giver_id", sa.Uuid(), nullable=False),
        sa.Column("notice_id", sa.Uuid(), nullable=False),
        sa.Column("recipient_hash", sa.LargeBinary(), nullable=True),
        sa.Column("recipient_name", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("receiver_id", sa.Uuid(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("refusal", postgresql.JSONB(), nullable=True),
        sa.Column("given_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("returns_at", _MOMENT, nullable=False),
        sa.Column("ended_at", _MOMENT, nullable=True),
        sa.CheckConstraint(
            "state IN ('OFFERING', 'OFFERED', 'ACCEPTING', 'ACCEPTED', 'RETURNING', 'RETURNED')",
            name=op.f("ck_gifts_state_known"),
        ),
        sa.CheckConstraint(
            "(recipient_hash IS NOT NULL) = (state IN ('OFFERING', 'OFFERED', 'ACCEPTING'))",
            name=op.f("ck_gifts_recipient_until_it_ends"),
        ),
        sa.CheckConstraint(
            "recipient_hash IS NOT NULL OR recipient_name = ''", name=op.f("ck_gifts_name_until_it_ends")
        ),
        sa.CheckConstraint(
            "(ended_at IS NULL) = (recipient_hash IS NOT NULL)", name=op.f("ck_gifts_ends_once")
        ),
        sa.CheckConstraint(
            "state NOT IN ('ACCEPTING', 'ACCEPTED') OR receiver_id IS NOT NULL",
            name=op.f("ck_gifts_accepted_by_somebody"),
        ),
        sa.ForeignKeyConstraint(
            ["wallet_voucher_id"], ["wallet_vouchers.id"], name=op.f("fk_gifts_wallet_voucher_id")
        ),
        sa.ForeignKeyConstraint(["voucher_id"], ["vouchers.id"], name=op.f("fk_gifts_voucher_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gifts")),
    )
    op.create_index("ix_gifts_giver_id", "gifts", ["giver_id", "given_at", "id"])
    op.create_index(
        "ix_gifts_recipient_hash",
        "gifts",
        ["recipient_hash", "given_at", "id"],
        postgresql_where=sa.text("recipient_hash IS NOT NULL"),
    )
    op.create_index(
        "ix_gifts_receiver_id",
        "gifts",
        ["receiver_id", "given_at", "id"],
        postgresql_where=sa.text("receiver_id IS NOT NULL"),
    )
    op.create_index("ix_gifts_order_id", "gifts", ["order_id"])
    op.create_index("ix_gifts_wallet_voucher_id", "gifts", ["wallet_voucher_id"])
    op.create_index("ix_gifts_due", "gifts", ["returns_at"], postgresql_where=sa.text("state = 'OFFERED'"))
