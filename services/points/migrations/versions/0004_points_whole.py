"""Earn rules, refunds, debts, expiry, purchases without a member, adjustments; jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from services.common.migrations import create_job_queue

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Applies the change."""
    create_job_queue()
    op.create_table(
        "adjustment_import_lines",
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("member_id", sa.Text(), nullable=False),
        sa.Column("delta", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("balance_after", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("import_id", "line", name=op.f("pk_adjustment_import_lines")),
    )
    op.create_index(
        "ix_adjustment_import_lines_waiting",
        "adjustment_import_lines",
        ["import_id", "line"],
        unique=False,
        postgresql_where="outcome IS NULL",
    )
    op.create_table(
        "adjustment_imports",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), server_default="0", nullable=False),
        sa.Column("refused", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_role", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "done >= 0 AND refused >= 0 AND done + refused <= lines",
            name=op.f("ck_adjustment_imports_counts"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_adjustment_imports")),
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
        "earn_rule_sets",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_earn_rule_sets")),
    )
    op.create_table(
        "earn_rules",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("effect", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("deleted", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "kind IN ('BASE_RATE', 'EXCLUSION', 'MULTIPLIER', 'FIRST_PURCHASE_BONUS')",
            name=op.f("ck_earn_rules_kind_known"),
        ),
        sa.CheckConstraint("ends_at > starts_at", name=op.f("ck_earn_rules_window")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_earn_rules")),
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
        "refunds",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("purchase_id", sa.Uuid(), nullable=False),
        sa.Column("refund_number", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("lines", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("points", sa.Integer(), nullable=False),
        sa.Column("taken", sa.Integer(), nullable=False),
        sa.Column("owed", sa.Integer(), nullable=False),
        sa.Column("expired", sa.Integer(), nullable=False),
        sa.Column("waived", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("actor_role", sa.Text(), nullable=False),
        sa.Column("balance_after", sa.Integer(), nullable=False),
        sa.Column("refunded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("least(taken, owed, expired, waived) >= 0", name=op.f("ck_refunds_points_floor")),
        sa.CheckConstraint("points = taken + owed + expired + waived", name=op.f("ck_refunds_points_sum")),
        sa.PrimaryKeyConstraint("member_id", "purchase_id", "refund_number", name=op.f("pk_refunds")),
    )
    op.create_table(
        "unclaimed_purchases",
        sa.Column("purchase_id", sa.Uuid(), nullable=False),
        sa.Column("claim_code", sa.Text(), nullable=False),
        sa.Column("claim_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("points", sa.Integer(), nullable=False),
        sa.Column("claimed_by", sa.Uuid(), nullable=True),
        sa.Column("claimed_with", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("purchase_id", name=op.f("pk_unclaimed_purchases")),
        sa.UniqueConstraint("claim_code", name=op.f("uq_unclaimed_purchases_claim_code")),
    )
    op.add_column("accounts", sa.Column("debt", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("accounts", sa.Column("first_bonus", sa.Integer(), nullable=True))
    op.add_column("ledger_entries", sa.Column("debt_delta", sa.Integer(), server_default="0", nullable=False))
    op.add_column("ledger_entries", sa.Column("reason", sa.Text(), nullable=True))
    op.create_index(
        "ix_ledger_entries_kind",
        "ledger_entries",
        ["member_id", "kind", "sequence"],
        unique=False,
        postgresql_where="kind <> 'EARN'",
    )
    op.create_index(
        "ix_ledger_entries_time",
        "ledger_entries",
        ["member_id", "occurred_at", "sequence"],
        unique=False,
        postgresql_where="sequence % 64 = 0",
    )
    op.add_column("lots", sa.Column("expired", sa.Integer(), server_default="0", nullable=False))
    op.create_index(
        "ix_lots_due",
        "lots",
        ["expires_at", "member_id"],
        unique=False,
        postgresql_where="remaining > 0 AND expires_at IS NOT NULL",
    )
    op.add_column("purchase_items", sa.Column("refunded", sa.Integer(), server_default="0", nullable=False))
    op.add_column("purchases", sa.Column("client_id", sa.Uuid()))
    op.add_column("purchases", sa.Column("rule_set_id", sa.BigInteger()))
    op.add_column("purchases", sa.Column("bonus", sa.Integer(), server_default="0", nullable=False))
    op.add_column("purchases", sa.Column("lot_id", sa.BigInteger(), nullable=True))
    op.create_index("ix_purchases_id", "purchases", ["id"], unique=False)
    op.drop_constraint("uq_purchases_member_id_number", "purchases")
    _change_checks()
    _complete_old_rows()
    op.alter_column("purchases", "client_id", nullable=False)
    op.alter_column("purchases", "rule_set_id", nullable=False)


def _change_checks() -> None:
    """Alembic does not see these by itself."""
    checks = {
        ("accounts", "balance_floor"): "balance >= -2147483647",
        ("accounts", "debt_floor"): "debt >= 0",
        ("accounts", "debt_limit"): "debt <= 2147483647",
        ("accounts", "debt_paid_first"): "debt = 0 OR balance <= 0",
        ("purchases", "points_floor"): "points >= bonus AND bonus >= 0",
        ("ledger_entries", "kind_known"): "kind IN ('EARN', 'SPEND', 'SPEND_UNDONE', 'FORFEIT', 'REFUND',"
        " 'ADJUST', 'EXPIRE')",
        ("ledger_entries", "delta_moves"): "delta <> 0 OR debt_delta <> 0",
        ("lots", "remaining_floor"): "remaining >= 0 AND expired >= 0",
        ("lots", "remaining_range"): "remaining + expired <= earned",
    }
    changed = {"balance_floor", "points_floor", "kind_known", "delta_moves", "remaining_range"}
    for (table, name), condition in checks.items():
        if name in changed:
            op.drop_constraint(op.f(f"ck_{table}_{name}"), table)
        op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, condition)


def _complete_old_rows() -> None:
    """Old purchases get the till, the lot and the rule that they had; the rule stands in them in words."""
    op.execute(
        "UPDATE purchases p SET client_id = r.client_id FROM receipts r"
        " WHERE r.member_id = p.member_id AND r.purchase_id = p.id"
    )
    op.execute(
        "UPDATE purchases p SET lot_id = e.sequence FROM ledger_entries e"
        " WHERE e.member_id = p.member_id AND e.kind = 'EARN' AND e.reference = p.id::text"
    )
    op.execute(
        "UPDATE accounts a SET first_bonus = 0 WHERE EXISTS"
        " (SELECT FROM ledger_entries e WHERE e.member_id = a.member_id AND e.kind = 'EARN')"
    )
    op.execute(
        "INSERT INTO earn_rule_sets (content) SELECT jsonb_build_object('default', jsonb_build_object("
        "'points', split_part(earn_rule, ' ', 1)::int, 'per_minor', split_part(earn_rule, ' ', 3)::bigint),"
        " 'rules', '[]'::jsonb) FROM (SELECT DISTINCT earn_rule FROM purchases) AS old"
    )
    op.execute(
        "UPDATE purchases p SET rule_set_id = s.id FROM earn_rule_sets s"
        " WHERE (s.content->'default'->>'points') || ' per ' || (s.content->'default'->>'per_minor')"
        " || ' minor units' = p.earn_rule"
    )
