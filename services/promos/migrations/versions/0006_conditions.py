"""Benefits have conditions; sets have a purpose, a window and limits; codes tell who changed them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Applies the change."""
    _code_sets()
    _codes()
    _redemptions()
    op.create_table(
        "member_uses",
        sa.Column("code_set_id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.CheckConstraint("uses >= 0", name=op.f("ck_member_uses_uses_not_negative")),
        sa.ForeignKeyConstraint(["code_set_id"], ["code_sets.id"], name=op.f("fk_member_uses_code_set_id")),
        sa.PrimaryKeyConstraint("code_set_id", "member_id", name=op.f("pk_member_uses")),
    )


def _code_sets() -> None:
    yes, no = sa.text("true"), sa.text("false")
    for column in (
        sa.Column("minimum_spend_minor", sa.BigInteger()),
        sa.Column("maximum_discount_minor", sa.BigInteger()),
        sa.Column("categories", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("first_purchase_only", sa.Boolean(), server_default=no, nullable=False),
        sa.Column("exclusive", sa.Boolean(), server_default=no, nullable=False),
        sa.Column("purpose", sa.Text()),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("brand_id", sa.Uuid()),
        sa.Column("pattern", sa.Text()),
        sa.Column("enabled", sa.Boolean(), server_default=yes, nullable=False),
        sa.Column("starts_at", sa.TIMESTAMP(timezone=True)),
        sa.Column("valid_days", sa.Integer()),
        sa.Column("uses_per_member", sa.Integer()),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
    ):
        op.add_column("code_sets", column)
    op.execute(
        "UPDATE code_sets s SET purpose ="
        " CASE WHEN EXISTS (SELECT FROM campaigns c WHERE c.id = s.id) THEN 'CAMPAIGN' ELSE 'VOUCHER' END"
    )
    op.alter_column("code_sets", "purpose", nullable=False)
    op.drop_constraint(op.f("ck_code_sets_one_benefit"), "code_sets")
    for name, condition in (
        (
            "one_benefit",
            (
                "(percent_off IS NULL) <> (amount_off_minor IS NULL)"
                " AND (num_nonnulls(amount_off_minor, minimum_spend_minor, maximum_discount_minor) > 0)"
                " = (currency_code IS NOT NULL)"
            ),
        ),
        (
            "terms_make_sense",
            (
                "minimum_spend_minor > 0 AND (maximum_discount_minor IS NULL OR percent_off IS NOT NULL)"
                " AND maximum_discount_minor > 0"
            ),
        ),
        ("purpose_known", "purpose IN ('VOUCHER', 'CAMPAIGN', 'DISCOUNT', 'HANDED_OUT')"),
        ("window", "expires_at > starts_at"),
        ("valid_days_positive", "valid_days > 0"),
        ("uses_per_member_positive", "uses_per_member > 0"),
    ):
        op.create_check_constraint(op.f(f"ck_code_sets_{name}"), "code_sets", condition)
    op.create_index(
        "ix_code_sets_brand_id",
        "code_sets",
        ["brand_id", "created_at"],
        postgresql_where=sa.text("brand_id IS NOT NULL"),
    )


def _codes() -> None:
    for column in (
        sa.Column("voided_by", sa.Uuid()),
        sa.Column("void_reason", sa.Text()),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
    ):
        op.add_column("codes", column)
    # Every code had the end of its set; from here on it is the set's, which staff may move.
    op.execute("UPDATE codes SET expires_at = NULL WHERE expires_at IS NOT NULL")
    for name in ("state_known", "uses_only_when_assigned", "owned_unless_ready"):
        op.drop_constraint(op.f(f"ck_codes_{name}"), "codes")
    for name, condition in (
        ("state_known", "state IN ('READY', 'BEARER', 'ASSIGNED', 'VOID')"),
        ("uses_only_when_given", "state <> 'READY' OR uses = 0"),
        (
            "owned_when_assigned",
            (
                "CASE WHEN state = 'ASSIGNED' THEN owner_member_id IS NOT NULL"
                " ELSE state = 'VOID' OR owner_member_id IS NULL END"
            ),
        ),
    ):
        op.create_check_constraint(op.f(f"ck_codes_{name}"), "codes", condition)


def _redemptions() -> None:
    for column in (
        sa.Column("caller_role", sa.Text(), server_default="till", nullable=False),
        sa.Column("cancelled_by", sa.Uuid()),
        sa.Column("cancelled_by_role", sa.Text()),
        sa.Column("member_id", sa.Uuid()),
        sa.Column("discount_minor", sa.BigInteger()),
        sa.Column("currency_code", sa.Text()),
        sa.Column("basket_hash", sa.LargeBinary()),
    ):
        op.add_column("redemptions", column)
    op.execute("UPDATE redemptions r SET member_id = c.owner_member_id FROM codes c WHERE c.id = r.code_id")
