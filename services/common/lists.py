"""Lists with filters and sort orders: one statement of a closed set of parts, with only what is asked for.

So its plan can use the index that serves it, however many filters the list knows: `x IS NULL OR ...` has one
plan for all of them, which fails at ten million rows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, LiteralString, TypeVar

import orjson
from psycopg import sql

from services.common.db import Connection, Database, fetch_all, fetch_one, fetch_value
from services.common.paging import Page

Row = TypeVar("Row")
Part = LiteralString | sql.Composable
"""A part of a statement: as it is written, or composed of named constants."""

MOST_COUNTED = 10_000
"""Counting stops here, so that a total costs about the same in a list of any length."""
MOST_COMPARED = 5_000
"""Rows that a page reads at most to compare them."""
_COMPARED_AT_ONCE = 500
_BATCH = 1_000
_BIGINT = range(-(2**63), 2**63)


def parse_moment(text: str) -> datetime:
    """Returns the moment in a page token. Raises ValueError unless it is one."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment


def parse_bigint(text: str) -> int:
    """Returns the number in a page token. Raises ValueError unless the database can hold it."""
    number = int(text)
    if number not in _BIGINT:
        raise ValueError(text)
    return number


def parse_text(text: str) -> str:
    """Returns the text in a page token. Raises ValueError unless the database can hold it."""
    if "\0" in text:
        raise ValueError(text)
    return text


@dataclass(frozen=True, slots=True)
class SortKey:
    """What a list can be sorted by: an expression that is never NULL, and the row's field that has it."""

    expression: LiteralString
    field: str
    parse: Callable[[str], object]
    """From the text in a page token; raises ValueError."""


@dataclass(frozen=True, slots=True)
class Total:
    """How many rows a list has, `MOST_COUNTED` at most, and whether there are more."""

    count: int
    more: bool


@dataclass(frozen=True, slots=True)
class _Compared:
    rows: int
    equal: int


@dataclass(frozen=True)
class Listing(Generic[Row]):
    """A list: its columns, filters by name, sort keys by name, and the unique key for rows that are equal.

    A filter is a condition with a placeholder of its own name, such as `p.sold_at >= %(sold_from)s`.
    `order_by` is the name of a sort key, with ` desc` behind it for the reverse, as in AIP-132.
    """

    row: type[Row]
    columns: Part
    source: Part
    """What follows FROM, joins included."""
    filters: Mapping[str, Part]
    keys: Mapping[str, SortKey]
    key: SortKey
    default_order: str
    always: LiteralString = "true"
    """A condition that holds for every row of the list."""
    compared: frozenset[str] = frozenset()
    """Filters that no index can serve: fields of the row that must be equal to what is asked for.

    Rows are read first and compared then, MOST_COMPARED for a page at most, however few are equal. So a page
    may be short, or empty, and have the token of a next one.
    """

    async def page(
        self, connection: Connection, /, page: Page, *, order_by: str = "", **wanted: object
    ) -> tuple[Sequence[Row], str]:
        """Returns a page, and the token of the next one. A filter whose value is None is not asked for."""
        name, descending = self._order(order_by)
        after, equal = page.after(self._parse(name)), self._equal(wanted)
        if not equal:
            rows = await self._rows(connection, name, after, page.size + 1, wanted, descending=descending)
            return page.cut(rows, lambda row: self._position(name, row))
        found: list[Row] = []
        rows = []
        for _ in range(MOST_COMPARED // _COMPARED_AT_ONCE):
            rows = await self._rows(connection, name, after, _COMPARED_AT_ONCE, wanted, descending=descending)
            found += _those(rows, equal)
            if len(found) > page.size or len(rows) < _COMPARED_AT_ONCE:
                return page.cut(found, lambda row: self._position(name, row))
            after = self._parse(name)(self._position(name, rows[-1]))
        return found, page.token(self._position(name, rows[-1]))

    async def total(self, connection: Connection, /, **wanted: object) -> Total:
        """Returns how many rows there are on all pages.

        Where rows are compared, those among the first MOST_COUNTED in the list's order are counted; that
        there are more says that others were not looked at.
        """
        conditions, values = self._conditions(wanted)
        if equal := self._equal(wanted):
            return await self._total_of_compared(connection, wanted, equal)
        statement = sql.SQL(
            "SELECT count(*) FROM (SELECT FROM {source} WHERE {conditions} LIMIT %(most)s + 1) AS found"
        ).format(source=_sql(self.source), conditions=sql.SQL(" AND ").join(conditions))
        count = int(await fetch_value(connection, statement, **values, most=MOST_COUNTED))
        return Total(min(count, MOST_COUNTED), more=count > MOST_COUNTED)

    async def batches(
        self, db: Database, *, order_by: str = "", **wanted: object
    ) -> AsyncIterator[Sequence[Row]]:
        """Yields all rows, some at a time, holding no connection and no transaction in between."""
        name, descending = self._order(order_by)
        parse, after = self._parse(name), None
        while True:
            rows = await db.read(self._rows, name, after, _BATCH, wanted, descending=descending)
            if rows:
                yield _those(rows, self._equal(wanted))
            if len(rows) < _BATCH:
                return
            after = parse(self._position(name, rows[-1]))

    def _order(self, order_by: str) -> tuple[str, bool]:
        name, _, direction = (order_by or self.default_order).partition(" ")
        assert name in self.keys, "the contract names the sort orders"
        return name, direction == "desc"

    async def _rows(
        self,
        connection: Connection,
        /,
        name: str,
        after: tuple[object, object] | None,
        limit: int,
        wanted: Mapping[str, object],
        *,
        descending: bool,
    ) -> Sequence[Row]:
        conditions, values = self._conditions(wanted)
        sort, key = sql.SQL(self.keys[name].expression), sql.SQL(self.key.expression)
        if after is not None:
            values["after_value"], values["after_key"] = after
            comparison = sql.SQL("<" if descending else ">")
            if self._by_key_alone(name):
                position = sql.SQL("{} {} %(after_key)s").format(key, comparison)
            else:
                position = sql.SQL("({}, {}) {} (%(after_value)s, %(after_key)s)").format(
                    sort, key, comparison
                )
            conditions.append(position)
        statement = sql.SQL(
            """
            SELECT {columns} FROM {source} WHERE {conditions}
            ORDER BY {order}
            LIMIT %(limit)s
            """
        ).format(
            columns=_sql(self.columns),
            source=_sql(self.source),
            conditions=sql.SQL(" AND ").join(conditions),
            order=self._ordered(name, descending=descending),
        )
        return await fetch_all(connection, self.row, statement, **values, limit=limit)

    async def _total_of_compared(
        self, connection: Connection, wanted: Mapping[str, object], equal: Mapping[str, object]
    ) -> Total:
        name, descending = self._order("")
        conditions, values = self._conditions(wanted)
        statement = sql.SQL(
            """
            SELECT count(*) AS rows, count(*) FILTER (WHERE {equal}) AS equal FROM (
              SELECT {columns} FROM {source} WHERE {conditions} ORDER BY {order} LIMIT %(most)s + 1
            ) AS found
            """
        ).format(
            equal=sql.SQL(" AND ").join(
                sql.SQL("{} = {}").format(sql.Identifier(one), sql.Placeholder(one)) for one in equal
            ),
            columns=_sql(self.columns),
            source=_sql(self.source),
            conditions=sql.SQL(" AND ").join(conditions),
            order=self._ordered(name, descending=descending),
        )
        found = await fetch_one(connection, _Compared, statement, **values, **equal, most=MOST_COUNTED)
        return Total(min(found.equal, MOST_COUNTED), more=found.rows > MOST_COUNTED)

    def _ordered(self, name: str, *, descending: bool) -> sql.Composable:
        sort, key = sql.SQL(self.keys[name].expression), sql.SQL(self.key.expression)
        direction = sql.SQL("DESC" if descending else "ASC")
        return sql.SQL(", ").join(
            sql.SQL("{} {}").format(one, direction)
            for one in ([key] if self._by_key_alone(name) else [sort, key])
        )

    def _by_key_alone(self, name: str) -> bool:
        return self.keys[name].expression == self.key.expression

    def _equal(self, wanted: Mapping[str, object]) -> dict[str, object]:
        """Returns the fields that rows are compared by, and what they must be."""
        return {name: wanted[name] for name in self.compared if wanted.get(name) is not None}

    def _conditions(self, wanted: Mapping[str, object]) -> tuple[list[sql.Composable], dict[str, Any]]:
        values = {
            name: value for name, value in wanted.items() if value is not None and name not in self.compared
        }
        return [sql.SQL(self.always), *(_sql(self.filters[name]) for name in values)], values

    def _position(self, name: str, row: Row) -> str:
        return orjson.dumps(
            [_text(getattr(row, self.keys[name].field)), _text(getattr(row, self.key.field))]
        ).decode()

    def _parse(self, name: str) -> Callable[[str], tuple[object, object]]:
        """Returns what reads a position of this order from a page token."""

        def parse(position: str) -> tuple[object, object]:
            kept = orjson.loads(position)
            if (
                not isinstance(kept, list)
                or len(kept) != 2
                or not all(isinstance(part, str) for part in kept)
            ):
                raise ValueError(position)
            return self.keys[name].parse(kept[0]), self.key.parse(kept[1])

        return parse


def _those(rows: Sequence[Row], equal: Mapping[str, object]) -> Sequence[Row]:
    """Returns the rows whose fields are equal to these."""
    return [row for row in rows if all(getattr(row, name) == value for name, value in equal.items())]


def _sql(part: Part) -> sql.Composable:
    return part if isinstance(part, sql.Composable) else sql.SQL(part)


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
