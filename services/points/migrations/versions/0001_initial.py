"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Applies the change."""
    op.create_table(
        "accounts",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("balance", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("purchases", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("balance <= 2147483647", name=op.f("ck_accounts_balance_limit")),
        sa.CheckConstraint("balance >= 0", name=op.f("ck_accounts_balance_floor")),
        sa.PrimaryKeyConstraint("member_id", name=op.f("pk_accounts")),
    )
    op.create_table(
        "debit_lots",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("lot_id", sa.BigInteger(), nullable=False),
        sa.Column("points", sa.Integer(), nullable=False),
        sa.CheckConstraint("points > 0", name=op.f("ck_debit_lots_points_taken")),
        sa.PrimaryKeyConstraint("member_id", "order_id", "lot_id", name=op.f("pk_debit_lots")),
    )
    op.create_table(
        "debits",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("points", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("balance_after", sa.Integer(), nullable=True),
        sa.CheckConstraint("points > 0 OR state = 'UNDONE'", name=op.f("ck_debits_points_taken")),
        sa.CheckConstraint("state IN ('DEBITED', 'UNDONE')", name=op.f("ck_debits_state_known")),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_debits")),
    )
    op.create_table(
        "ledger_entries",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("delta", sa.Integer(), nullable=False),
        sa.Column("balance_after", sa.Integer(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "kind IN ('EARN', 'SPEND', 'SPEND_UNDONE')", name=op.f("ck_ledger_entries_kind_known")
        ),
        sa.CheckConstraint("delta <> 0", name=op.f("ck_ledger_entries_delta_moves")),
        sa.PrimaryKeyConstraint("member_id", "sequence", name=op.f("pk_ledger_entries")),
    )
    op.create_table(
        "lots",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("earned", sa.Integer(), nullable=False),
        sa.Column("remaining", sa.Integer(), nullable=False),
        sa.Column("earned_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("remaining BETWEEN 0 AND earned", name=op.f("ck_lots_remaining_range")),
        sa.PrimaryKeyConstraint("member_id", "id", name=op.f("pk_lots")),
    )
    op.create_index(
        "ix_lots_open", "lots", ["member_id", "id"], unique=False, postgresql_where="remaining > 0"
    )
    op.create_table(
        "member_codes",
        sa.Column("member_code", sa.Text(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("member_code", name=op.f("pk_member_codes")),
    )
    op.create_table(
        "members",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("member_id", name=op.f("pk_members")),
    )
    op.create_table(
        "purchase_items",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("purchase_id", sa.Uuid(), nullable=False),
        sa.Column("line", sa.SmallInteger(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("unit_price_minor", sa.BigInteger(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("alcohol", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("member_id", "purchase_id", "line", name=op.f("pk_purchase_items")),
    )
    op.create_table(
        "purchases",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("receipt_number", sa.Text(), nullable=False),
        sa.Column("till_number", sa.Text(), nullable=False),
        sa.Column("sold_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("currency_code", sa.Text(), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.Column("eligible_minor", sa.BigInteger(), nullable=False),
        sa.Column("points", sa.Integer(), nullable=False),
        sa.Column("earn_rule", sa.Text(), nullable=False),
        sa.Column("balance_after", sa.Integer(), nullable=False),
        sa.CheckConstraint("points >= 0", name=op.f("ck_purchases_points_floor")),
        sa.CheckConstraint(
            "total_minor >= eligible_minor AND eligible_minor >= 0", name=op.f("ck_purchases_amounts")
        ),
        sa.PrimaryKeyConstraint("member_id", "id", name=op.f("pk_purchases")),
        sa.UniqueConstraint("member_id", "number", name=op.f("uq_purchases_member_id_number")),
    )
    op.create_table(
        "receipts",
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("till_number", sa.Text(), nullable=False),
        sa.Column("receipt_number", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("purchase_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("client_id", "till_number", "receipt_number", name=op.f("pk_receipts")),
    )
