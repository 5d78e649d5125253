"""Prices in money, benefits, limits, states; orders of several pieces with their steps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"

_OPEN = "state IN ('PENDING', 'UNDOING', 'AWAITING_PAYMENT', 'REFUNDING')"


def upgrade() -> None:
    """Applies the change."""
    _vouchers()
    _orders()
    op.add_column("wallet_vouchers", sa.Column("number", sa.Integer(), server_default="1", nullable=False))
    op.drop_constraint("uq_wallet_vouchers_order_id", "wallet_vouchers")
    op.create_unique_constraint(
        op.f("uq_wallet_vouchers_order_id_number"), "wallet_vouchers", ["order_id", "number"]
    )
    _limits()


def _vouchers() -> None:
    op.alter_column("vouchers", "face_value_minor", nullable=True)
    for column in (
        sa.Column("state", sa.Text(), server_default="ACTIVE", nullable=False),
        sa.Column("price_minor", sa.BigInteger()),
        sa.Column("price_rule", sa.Text(), server_default="EITHER", nullable=False),
        sa.Column("benefit", postgresql.JSONB()),
        sa.Column("max_per_member", sa.Integer(), server_default="0", nullable=False),
        sa.Column("buy_type", sa.Text(), server_default="SELF", nullable=False),
        sa.Column("max_gifts_per_recipient", sa.Integer(), server_default="0", nullable=False),
        sa.Column("valid_days", sa.Integer(), server_default="0", nullable=False),
        sa.Column("cancel_days", sa.Integer(), server_default="0", nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
    ):
        op.add_column("vouchers", column)
    op.drop_constraint("ck_vouchers_price_positive", "vouchers")
    for name, rule in {
        "price_positive": "price_points >= 0 AND price_minor > 0",
        "some_price": "price_points > 0 OR price_minor IS NOT NULL",
        "price_rule_known": "price_rule IN ('EITHER', 'TOGETHER')",
        "one_benefit": "(face_value_minor IS NULL) = (benefit IS NOT NULL)",
        "state_known": "state IN ('DRAFT', 'ACTIVE', 'INACTIVE', 'ARCHIVED')",
        "buy_type_known": "buy_type IN ('SELF', 'GIFT')",
        "limits": "least(max_per_member, max_gifts_per_recipient, valid_days, cancel_days) >= 0",
    }.items():
        op.create_check_constraint(op.f(f"ck_vouchers_{name}"), "vouchers", rule)


def _orders() -> None:
    for column in (
        sa.Column("quantity", sa.Integer(), server_default="1", nullable=False),
        sa.Column("currency_code", sa.Text()),
        sa.Column("amount_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("method_discount_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("promo_discount_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("payment_method_id", sa.Uuid()),
        sa.Column("promo_code_id", sa.Uuid()),
        sa.Column("pay_until", sa.TIMESTAMP(timezone=True)),
        sa.Column("recipient_hash", sa.LargeBinary()),
        sa.Column("recipient_name", sa.Text()),
        sa.Column("gift_message", sa.Text()),
        sa.Column("steps", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column(
            "step_times", postgresql.ARRAY(sa.TIMESTAMP(timezone=True)), server_default="{}", nullable=False
        ),
        sa.Column("end_note", sa.Text()),
        sa.Column("ended_by", sa.Text()),
    ):
        op.add_column("orders", column)
    op.drop_constraint("ck_orders_state_known", "orders")
    for name, rule in {
        "state_known": "state IN ('PENDING', 'COMPLETED', 'UNDOING', 'FAILED', 'AWAITING_PAYMENT',"
        " 'CANCELLED', 'REFUNDING', 'REFUNDED')",
        "quantity_known": "quantity BETWEEN 1 AND 20",
        "price_positive": "price_points >= 0 AND amount_minor >= 0",
        "steps_with_times": "cardinality(steps) = cardinality(step_times)",
    }.items():
        op.create_check_constraint(op.f(f"ck_orders_{name}"), "orders", rule)
    op.drop_index("ix_orders_overdue", "orders")
    op.create_index("ix_orders_overdue", "orders", ["deadline_at"], postgresql_where=sa.text(_OPEN))


def _limits() -> None:
    op.create_table(
        "voucher_members",
        sa.Column("voucher_id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("ordered", sa.Integer(), nullable=False),
        sa.CheckConstraint("ordered >= 0", name=op.f("ck_voucher_members_ordered_positive")),
        sa.ForeignKeyConstraint(["voucher_id"], ["vouchers.id"], name=op.f("fk_voucher_members_voucher_id")),
        sa.PrimaryKeyConstraint("voucher_id", "member_id", name=op.f("pk_voucher_members")),
    )
    op.create_table(
        "voucher_recipients",
        sa.Column("voucher_id", sa.Uuid(), nullable=False),
        sa.Column("recipient_hash", sa.LargeBinary(), nullable=False),
        sa.Column("given", sa.Integer(), nullable=False),
        sa.CheckConstraint("given >= 0", name=op.f("ck_voucher_recipients_given_positive")),
        sa.ForeignKeyConstraint(
            ["voucher_id"], ["vouchers.id"], name=op.f("fk_voucher_recipients_voucher_id")
        ),
        sa.PrimaryKeyConstraint("voucher_id", "recipient_hash", name=op.f("pk_voucher_recipients")),
    )
