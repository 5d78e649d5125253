"""Tokens of tills that end with their till; where people have logged in before."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.common.migrations import execute

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Applies the change. A till that is disabled now loses its secrets, as all do from here on.

    A token that a till got before names no series and is refused; its next one is a call away.
    """
    op.add_column(
        "clients",
        sa.Column("token_series", sa.Uuid(), server_default=sa.func.gen_random_uuid(), nullable=False),
    )
    op.add_column("clients", sa.Column("token_version", sa.BigInteger(), server_default="0", nullable=False))
    op.alter_column("clients", "secret_hash", nullable=True)
    execute(
        """
        UPDATE clients SET secret_hash = NULL, old_secret_hash = NULL, old_secret_ends_at = NULL
        WHERE NOT enabled
        """
    )
    op.create_table(
        "known_places",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("place_hash", sa.LargeBinary(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "place_hash", name=op.f("pk_known_places")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_known_places_account_id")),
    )
    op.create_index(op.f("ix_known_places_seen_at"), "known_places", ["seen_at"])
