"""Filling tables with millions of rows: indexes are made sooner all at once."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg


def without_indexes(connection: psycopg.Connection, table: str) -> list[str]:
    """Drops the indexes of a table that no constraint needs, and returns what makes them."""
    found = connection.execute(
        """
        SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
        WHERE indrelid = %(table)s::regclass
          AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = indexrelid)
        """,
        {"table": table},
    ).fetchall()
    for name, _ in found:
        connection.execute(f"DROP INDEX {name}".encode())
    return [definition for _, definition in found]


def with_indexes(connection: psycopg.Connection, definitions: Sequence[str]) -> None:
    """Makes indexes."""
    connection.execute("SET maintenance_work_mem = '1GB'")
    for definition in definitions:
        connection.execute(definition.encode())
