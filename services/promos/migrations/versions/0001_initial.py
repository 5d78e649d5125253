"""The first tables, and the job queue."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from services.common.migrations import create_job_queue

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Applies the change."""
    create_job_queue()
    op.create_table(
        "assignments",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("code_set_id", sa.Uuid(), nullable=True),
        sa.Column("owner_member_id", sa.Uuid(), nullable=True),
        sa.Column("quantity", sa.Integer(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state = 'RELEASED' OR (code_set_id IS NOT NULL AND owner_member_id IS NOT NULL"
            " AND quantity IS NOT NULL)",
            name=op.f("ck_assignments_assigned_is_whole"),
        ),
        sa.CheckConstraint("state IN ('ASSIGNED', 'RELEASED')", name=op.f("ck_assignments_state_known")),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_assignments")),
    )
    op.create_table(
        "audit_outbox",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("actor_role", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target_id", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_outbox")),
    )
    op.create_table(
        "code_sets",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("amount_off_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency_code", sa.Text(), nullable=True),
        sa.Column("percent_off", sa.SmallInteger(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("uses_allowed", sa.Integer(), server_default="1", nullable=False),
        sa.Column("wanted", sa.Integer(), server_default="0", nullable=False),
        sa.Column("voided", sa.Integer(), server_default="0", nullable=False),
        sa.Column("made", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(percent_off IS NULL) <> (amount_off_minor IS NULL)"
            " AND (amount_off_minor IS NULL) = (currency_code IS NULL)",
            name=op.f("ck_code_sets_one_benefit"),
        ),
        sa.CheckConstraint("amount_off_minor > 0", name=op.f("ck_code_sets_amount_off_positive")),
        sa.CheckConstraint("percent_off BETWEEN 1 AND 100", name=op.f("ck_code_sets_percent_off_in_range")),
        sa.CheckConstraint("uses_allowed > 0", name=op.f("ck_code_sets_uses_allowed_positive")),
        sa.CheckConstraint(
            "wanted >= 0 AND voided >= 0 AND made >= 0", name=op.f("ck_code_sets_counts_not_negative")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_code_sets")),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("rpc", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("reply", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("caller", "rpc", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"], unique=False)
    op.create_table(
        "members",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("first_login_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("member_id", name=op.f("pk_members")),
    )
    op.create_table(
        "campaigns",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("places", sa.Integer(), nullable=False),
        sa.Column("places_taken", sa.Integer(), server_default="0", nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("state", sa.Text(), server_default="ACTIVE", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state IN ('ACTIVE', 'PAUSED', 'ENDED')", name=op.f("ck_campaigns_state_known")),
        sa.CheckConstraint("ends_at > starts_at", name=op.f("ck_campaigns_window")),
        sa.CheckConstraint(
            "places_taken BETWEEN 0 AND places", name=op.f("ck_campaigns_places_taken_within_places")
        ),
        sa.ForeignKeyConstraint(["id"], ["code_sets.id"], name=op.f("fk_campaigns_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaigns")),
    )
    op.create_table(
        "codes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("code_set_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("shuffle", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("owner_member_id", sa.Uuid(), nullable=True),
        sa.Column("order_id", sa.Uuid(), nullable=True),
        sa.Column("uses", sa.Integer(), server_default="0", nullable=False),
        sa.Column("uses_allowed", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("assigned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("voided_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'READY') = (owner_member_id IS NULL)", name=op.f("ck_codes_owned_unless_ready")
        ),
        sa.CheckConstraint("state = 'ASSIGNED' OR uses = 0", name=op.f("ck_codes_uses_only_when_assigned")),
        sa.CheckConstraint("state IN ('READY', 'ASSIGNED', 'VOID')", name=op.f("ck_codes_state_known")),
        sa.CheckConstraint("uses BETWEEN 0 AND uses_allowed", name=op.f("ck_codes_uses_within_allowed")),
        sa.ForeignKeyConstraint(["code_set_id"], ["code_sets.id"], name=op.f("fk_codes_code_set_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_codes")),
        sa.UniqueConstraint("code", name=op.f("uq_codes_code")),
    )
    op.create_index(
        "ix_codes_order_id",
        "codes",
        ["order_id"],
        unique=False,
        postgresql_where=sa.text("order_id IS NOT NULL"),
    )
    op.create_index(
        "ix_codes_ready",
        "codes",
        ["code_set_id", "shuffle"],
        unique=False,
        postgresql_where=sa.text("state = 'READY'"),
    )
    op.create_table(
        "redemptions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("code_id", sa.Uuid(), nullable=False),
        sa.Column("caller_id", sa.Uuid(), nullable=False),
        sa.Column("sale_reference", sa.Text(), nullable=False),
        sa.Column("redeemed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["code_id"], ["codes.id"], name=op.f("fk_redemptions_code_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_redemptions")),
        sa.UniqueConstraint("caller_id", "sale_reference", "code_id", name="uq_redemptions_sale"),
    )
    op.create_index("ix_redemptions_code_id", "redemptions", ["code_id", "redeemed_at"], unique=False)
    op.create_table(
        "winners",
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("code_id", sa.Uuid(), nullable=False),
        sa.Column("logged_in_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("won_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_winners_campaign_id")),
        sa.ForeignKeyConstraint(["code_id"], ["codes.id"], name=op.f("fk_winners_code_id")),
        sa.PrimaryKeyConstraint("campaign_id", "rank", name=op.f("pk_winners")),
        sa.UniqueConstraint("campaign_id", "member_id", name=op.f("uq_winners_campaign_id_member_id")),
        sa.UniqueConstraint("code_id", name=op.f("uq_winners_code_id")),
    )
    op.create_index("ix_winners_member_id", "winners", ["member_id", "code_id"], unique=False)
