"""Long statements, made ready once.

psycopg reads the placeholders of a statement anew for each call when it is longer than 4 kB, which costs
more than all the rest of a call. Here they are numbered when the statement is written down.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg.rows import class_row
from psycopg.sql import Composed

from services.common.db import Connection

_PLACEHOLDER = re.compile(r"%\((\w+)\)[sb]|%%")

R = TypeVar("R")


class Numbered:
    """A statement with named placeholders, as PostgreSQL takes it: with numbers instead of names."""

    def __init__(self, statement: LiteralString | Composed) -> None:
        text = statement if isinstance(statement, str) else statement.as_string()
        names: dict[str, int] = {}

        def number(found: re.Match[str]) -> str:
            if found[1] is None:
                return "%"
            return f"${names.setdefault(found[1], len(names) + 1)}"

        self.query = _PLACEHOLDER.sub(number, text).encode()
        self._names = tuple(names)

    def ordered(self, values: Mapping[str, Any]) -> list[Any]:
        """Returns the values in the order of their numbers."""
        return [values[name] for name in self._names]


async def fetch_numbered(
    connection: Connection, row: type[R], statement: Numbered, values: Mapping[str, Any]
) -> list[R]:
    """Returns all rows of a statement; `row` is a class whose fields are named as the columns are."""
    cursor = psycopg.AsyncRawCursor(connection, row_factory=class_row(row))
    await cursor.execute(statement.query, statement.ordered(values))
    return await cursor.fetchall()
