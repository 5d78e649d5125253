"""Filling tables with millions of rows: indexes are made sooner all at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

# Foreign keys go first and come last, for they need the keys of what they name. Those of other tables that
# name this one are among them.
_CONSTRAINTS = """
SELECT conrelid::regclass::text AS of, quote_ident(conname) AS name, pg_get_constraintdef(oid) AS definition
FROM pg_constraint
WHERE contype IN ('p', 'u', 'f') AND conrelid = %(table)s::regclass
  OR contype = 'f' AND confrelid = %(table)s::regclass
ORDER BY contype <> 'f'
"""
_INDEXES = """
SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
WHERE indrelid = %(table)s::regclass
"""


@contextmanager
def unindexed(connection: psycopg.Connection, *tables: str) -> Iterator[None]:
    """Takes the indexes, keys and foreign keys of these tables away, and makes them again at the end."""
    again: list[str] = []
    for table in tables:
        for of, name, definition in connection.execute(_CONSTRAINTS, {"table": table}).fetchall():
            connection.execute(f"ALTER TABLE {of} DROP CONSTRAINT {name}".encode())
            again.insert(0, f"ALTER TABLE {of} ADD CONSTRAINT {name} {definition}")
        for name, definition in connection.execute(_INDEXES, {"table": table}).fetchall():
            connection.execute(f"DROP INDEX {name}".encode())
            again.insert(0, definition)
    yield
    connection.execute("SET maintenance_work_mem = '1GB'")
    # A foreign key between two of the tables must come after the keys of both.
    for statement in sorted(again, key=lambda text: "FOREIGN KEY" in text):
        connection.execute(statement.encode())
