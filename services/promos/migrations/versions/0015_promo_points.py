"""Promos: personal gifts of promo points, and their uses."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_MOMENT = sa.TIMESTAMP(timezone=True)


def upgrade() -> None:
    """Applies the change."""
    _promos()
    _uses()


def _promos() -> None:
    op.create_table(
        "promos",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("starts_at", _MOMENT, nullable=False),
        sa.Column("ends_at", _MOMENT, nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("deleted_at", _MOMENT, nullable=True),
        sa.CheckConstraint(
            "type IN ('WELCOME', 'BIRTHDAY', 'LOYALTY', 'COMPENSATION', 'OTHER')",
            name=op.f("ck_promos_type_known"),
        ),
        sa.CheckConstraint("ends_at > starts_at", name=op.f("ck_promos_window")),
        sa.CheckConstraint("amount > 0", name=op.f("ck_promos_amount_positive")),
        sa.CheckConstraint("used BETWEEN 0 AND amount", name=op.f("ck_promos_used_within_amount")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promos")),
        sa.UniqueConstraint("code", name=op.f("uq_promos_code")),
    )
    op.create_index("ix_promos_member_id", "promos", ["member_id", "created_at", "id"])
    op.create_index("ix_promos_created_at", "promos", ["created_at", "id"])
    op.create_index("ix_promos_type", "promos", ["type", "created_at", "id"])


def _uses() -> None:
    op.create_table(
        "promo_uses",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("caller_id", sa.Uuid(), nullable=False),
        sa.Column("caller_role", sa.Text(), nullable=False),
        sa.Column("till_number", sa.Text(), server_default="", nullable=False),
        sa.Column("sale_reference", sa.Text(), nullable=True),
        sa.Column("request_hash", sa.LargeBinary(), nullable=True),
        sa.Column("signed_code_id", sa.Text(), nullable=True),
        sa.Column("used_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("cancelled_at", _MOMENT, nullable=True),
        sa.Column("cancelled_by", sa.Uuid(), nullable=True),
        sa.Column("cancelled_by_role", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promo_uses")),
        sa.UniqueConstraint("sale_reference", "caller_id", "till_number", name="uq_promo_uses_sale"),
        sa.UniqueConstraint("signed_code_id", name="uq_promo_uses_signed_code_id"),
    )
    op.create_index("ix_promo_uses_member_id", "promo_uses", ["member_id", "used_at"])
    op.create_table(
        "promo_use_parts",
        sa.Column("promo_use_id", sa.Uuid(), nullable=False),
        sa.Column("promo_id", sa.Uuid(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("remaining", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "amount > 0 AND remaining >= 0", name=op.f("ck_promo_use_parts_amounts_make_sense")
        ),
        sa.ForeignKeyConstraint(
            ["promo_use_id"], ["promo_uses.id"], name=op.f("fk_promo_use_parts_promo_use_id")
        ),
        sa.ForeignKeyConstraint(["promo_id"], ["promos.id"], name=op.f("fk_promo_use_parts_promo_id")),
        sa.PrimaryKeyConstraint("promo_use_id", "promo_id", name=op.f("pk_promo_use_parts")),
    )
    op.create_index("ix_promo_use_parts_promo_id", "promo_use_parts", ["promo_id", "promo_use_id"])
