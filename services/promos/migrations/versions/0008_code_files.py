"""Codes are listed by set and tell why they were withdrawn; files of codes come in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Applies the change."""
    op.add_column("codes", sa.Column("voided_by_role", sa.Text()))
    op.add_column("codes", sa.Column("void_note", sa.Text()))
    op.add_column("codes", sa.Column("import_id", sa.Uuid()))
    op.create_index("ix_codes_code_set_id", "codes", ["code_set_id", "id"])
    op.create_index(
        "ix_codes_given",
        "codes",
        ["code_set_id", "state", "id"],
        postgresql_where=sa.text("state <> 'READY'"),
    )
    op.create_table(
        "code_imports",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("code_set_id", sa.Uuid(), nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("imported", sa.Integer(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        sa.Column("created_role", sa.Text(), nullable=False),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("imported BETWEEN 0 AND lines", name=op.f("ck_code_imports_counts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_code_imports")),
    )
    op.create_index("ix_code_imports_code_set_id", "code_imports", ["code_set_id", "id"])
    op.create_table(
        "code_import_refusals",
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("uses", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["import_id"], ["code_imports.id"], name=op.f("fk_code_import_refusals_import_id")
        ),
        sa.PrimaryKeyConstraint("import_id", "line", name=op.f("pk_code_import_refusals")),
    )
