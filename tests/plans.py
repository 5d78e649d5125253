"""How much of a large table a statement reads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from services.common.db import Connection, Database


async def rows_read(database: Database, query: Callable[..., Awaitable[Any]], **arguments: Any) -> int:
    """Returns how many rows of tables and indexes the plans of a query's statements read.

    What an index holds in between and is passed over does not count: see `indexes_used`.
    """
    return sum(number for plan in await _plans(database, query, **arguments) for number in _read(plan))


async def indexes_used(
    database: Database, query: Callable[..., Awaitable[Any]], **arguments: Any
) -> set[str]:
    """Returns the names of the indexes in the plans of a query's statements."""
    return {name for plan in await _plans(database, query, **arguments) for name in _indexes(plan)}


async def _plans(
    database: Database, query: Callable[..., Awaitable[Any]], **arguments: Any
) -> list[dict[str, Any]]:
    async def explained(connection: Connection) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for statement, parameters in await _statements(connection, query, **arguments):
            cursor = connection.cursor(row_factory=tuple_row)
            await cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
            [(plan,)] = await cursor.fetchall()
            found.append(plan[0]["Plan"])
        return found

    return await database.read(explained)


async def _statements(
    connection: Connection, query: Callable[..., Awaitable[Any]], **arguments: Any
) -> list[tuple[str, Any]]:
    seen: list[tuple[str, Any]] = []

    class Seen(psycopg.AsyncCursor[Any]):
        async def execute(self, query: Any, params: Any = None, **kwargs: Any) -> Any:
            plain = query.as_string(self) if isinstance(query, sql.Composable) else query
            seen.append((plain, params))
            return await super().execute(query, params, **kwargs)

    usual, connection.cursor_factory = connection.cursor_factory, Seen
    try:
        await query(connection, **arguments)
    finally:
        connection.cursor_factory = usual
    assert seen
    return seen


def _read(plan: dict[str, Any]) -> list[int]:
    below = [number for child in plan.get("Plans", ()) for number in _read(child)]
    if "Scan" not in plan["Node Type"]:
        return below
    removed = plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Index Recheck", 0)
    return [*below, int((plan["Actual Rows"] + removed) * plan["Actual Loops"])]


def _indexes(plan: dict[str, Any]) -> list[str]:
    below = [name for child in plan.get("Plans", ()) for name in _indexes(child)]
    return [*below, plan["Index Name"]] if "Index Name" in plan else below
