"""Payment methods, their discounts, payments of orders, and payments as the sandbox has them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_MOMENT = sa.TIMESTAMP(timezone=True)


def upgrade() -> None:
    """Applies the change."""
    _methods()
    _discounts()
    _payments()
    _sandbox()


def _methods() -> None:
    op.create_table(
        "payment_methods",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("archived_at", _MOMENT, nullable=True),
        sa.CheckConstraint("position >= 0", name=op.f("ck_payment_methods_position_positive")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_methods")),
    )


def _discounts() -> None:
    op.create_table(
        "payment_discounts",
        sa.Column("voucher_id", sa.Uuid(), nullable=False),
        sa.Column("payment_method_id", sa.Uuid(), nullable=False),
        sa.Column("percent_off", sa.SmallInteger(), nullable=True),
        sa.Column("amount_off_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency_code", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.CheckConstraint(
            "(percent_off IS NULL) <> (amount_off_minor IS NULL)", name=op.f("ck_payment_discounts_one_kind")
        ),
        sa.CheckConstraint(
            "percent_off BETWEEN 1 AND 100", name=op.f("ck_payment_discounts_percent_in_range")
        ),
        sa.CheckConstraint("amount_off_minor > 0", name=op.f("ck_payment_discounts_amount_positive")),
        sa.ForeignKeyConstraint(
            ["voucher_id"], ["vouchers.id"], name=op.f("fk_payment_discounts_voucher_id")
        ),
        sa.ForeignKeyConstraint(
            ["payment_method_id"],
            ["payment_methods.id"],
            name=op.f("fk_payment_discounts_payment_method_id"),
        ),
        sa.PrimaryKeyConstraint("voucher_id", "payment_method_id", name=op.f("pk_payment_discounts")),
    )


def _payments() -> None:
    op.create_table(
        "payments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("payment_method_id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency_code", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("provider_reference", sa.Text(), server_default="", nullable=False),
        sa.Column("redirect_url", sa.Text(), server_default="", nullable=False),
        sa.Column("decline_code", sa.Text(), nullable=True),
        sa.Column("created_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("asked_at", _MOMENT, nullable=True),
        sa.Column("authorised_at", _MOMENT, nullable=True),
        sa.Column("captured_at", _MOMENT, nullable=True),
        sa.Column("ended_at", _MOMENT, nullable=True),
        sa.Column("settled_at", _MOMENT, nullable=True),
        sa.Column("check_at", _MOMENT, nullable=True),
        sa.Column("checks", sa.Integer(), server_default="0", nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.CheckConstraint(
            "state IN ('CREATED', 'ACTION_REQUIRED', 'AUTHORISED', 'CAPTURED', 'DECLINED', 'VOIDED',"
            " 'REFUNDED')",
            name=op.f("ck_payments_state_known"),
        ),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_payments_amount_positive")),
        sa.CheckConstraint(
            "(state = 'DECLINED') = (decline_code IS NOT NULL)", name=op.f("ck_payments_declined_with_code")
        ),
        sa.ForeignKeyConstraint(
            ["payment_method_id"], ["payment_methods.id"], name=op.f("fk_payments_payment_method_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payments")),
    )
    op.create_index(
        "ix_payments_open", "payments", ["check_at"], postgresql_where=sa.text("check_at IS NOT NULL")
    )


def _sandbox() -> None:
    op.create_table(
        "sandbox_payments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency_code", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("decline_code", sa.Text(), server_default="", nullable=False),
        sa.Column("token", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "state IN ('ACTION_REQUIRED', 'AUTHORISED', 'CAPTURED', 'DECLINED', 'VOIDED', 'REFUNDED')",
            name=op.f("ck_sandbox_payments_state_known"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sandbox_payments")),
    )
