"""Brands' discounts, and the codes of them that members claim."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_WHEN = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Applies the change."""
    _discounts()
    _claims()
    op.create_table(
        "member_consents",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("shares_contact", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("member_id", name=op.f("pk_member_consents")),
    )


def _discounts() -> None:
    op.create_table(
        "discounts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("claimed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("starts_at", _WHEN, nullable=True),
        sa.Column("ends_at", _WHEN, nullable=True),
        sa.Column("state", sa.Text(), server_default="DRAFT", nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", _WHEN, server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "state IN ('DRAFT', 'ACTIVE', 'PAUSED', 'ENDED')", name=op.f("ck_discounts_state_known")
        ),
        sa.CheckConstraint(
            "claimed BETWEEN 0 AND quantity", name=op.f("ck_discounts_claimed_within_quantity")
        ),
        sa.CheckConstraint("ends_at > starts_at", name=op.f("ck_discounts_window")),
        sa.ForeignKeyConstraint(["id"], ["code_sets.id"], name=op.f("fk_discounts_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_discounts")),
    )
    op.create_index("ix_discounts_brand_id", "discounts", ["brand_id", "created_at", "id"])
    op.create_index(
        "ix_discounts_active",
        "discounts",
        ["created_at", "id"],
        postgresql_where=sa.text("state = 'ACTIVE'"),
    )


def _claims() -> None:
    op.create_table(
        "claims",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("discount_id", sa.Uuid(), nullable=False),
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("code_id", sa.Uuid(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("claimed_at", _WHEN, server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["discount_id"], ["discounts.id"], name=op.f("fk_claims_discount_id")),
        sa.ForeignKeyConstraint(["code_id"], ["codes.id"], name=op.f("fk_claims_code_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_claims")),
        sa.UniqueConstraint("code_id", name=op.f("uq_claims_code_id")),
        sa.UniqueConstraint("member_id", "discount_id", name=op.f("uq_claims_member_id_discount_id")),
        sa.UniqueConstraint("member_id", "idempotency_key", name=op.f("uq_claims_member_id_idempotency_key")),
    )
    op.create_index("ix_claims_brand_id", "claims", ["brand_id", "claimed_at", "id"])
    op.create_index("ix_claims_discount_id", "claims", ["discount_id", "claimed_at", "id"])
