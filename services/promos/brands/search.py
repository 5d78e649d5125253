"""Finding stores: by words with typing errors forgiven, around a place, or both.

What is found comes in kinds of match, the best first, each by a statement of its own whose order an index
has: by name, or by the distance on the map. So a word that half of all stores have costs no more than a rare
one: PostgreSQL knows how common a term is, and walks through the index of the order until a page is full, or
fetches the few that have the term and sorts them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import orjson
from psycopg.sql import SQL, Composable, Placeholder

from services.common.db import Connection, fetch_all, fetch_values
from services.common.lists import parse_text
from services.common.paging import Page
from services.common.search_words import corrections
from services.common.words import MOST_WORDS, begins, in_name, is_name, words
from services.promos.brands.geography import EARTH_METERS, Place, boxes
from services.promos.brands.opening_hours import minutes_by_zone
from services.promos.brands.store_queries import COLUMNS, StoreRow

MOST_AROUND = 300
"""Stores of each kind of match that are found around a place: the nearest ones."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is searched for. `place` and `meters` go together."""

    query: str = ""
    category: str = ""
    brand_id: UUID | None = None
    place: Place | None = None
    meters: int = 0
    open_now: bool = False
    order: Literal["relevance", "distance"] = "relevance"


@dataclass(frozen=True, slots=True)
class FoundRow(StoreRow):
    """A store that was found, in meters from the place that was asked for."""

    distance: float | None
    kind: int
    """Of the kinds of match, which it is; 0 is the best."""


@dataclass(frozen=True, slots=True)
class _Position:
    """Behind which row a page begins: its kind of match, its name or distance, its id."""

    kind: int
    value: str | float
    store_id: UUID


@dataclass(frozen=True, slots=True)
class Match:
    """A kind of match: a condition on the store `s`, and the values in it. Kind 0 is the best."""

    kind: int
    condition: Composable
    values: Mapping[str, Any]


async def search(connection: Connection, page: Page, wanted: Wanted) -> tuple[Sequence[FoundRow], str]:
    """Returns a page of the stores that everybody sees, and the token of the next one.

    A row is of the best kind of match that it has, and of no other. Raises PAGE_TOKEN_NOT_VALID.
    """
    after = page.after(_parser(by_distance=wanted.place is not None))
    hours = await open_hours(connection) if wanted.open_now else None
    rows: list[FoundRow] = []
    async for match in matches(connection, wanted):
        if after is None or match.kind >= after.kind:
            behind = after if after and match.kind == after.kind else None
            left = page.size + 1 - len(rows)
            rows += await fetch_match(connection, wanted, match, behind, left, hours=hours)
        if len(rows) > page.size:
            break
    return page.cut(rows, _position)


async def matches(connection: Connection, wanted: Wanted) -> AsyncIterator[Match]:
    """Yields the kinds of match, from the best on. Each is a part of the next, which leaves it out.

    Whether words may have typing errors is asked for only when the others were not enough.
    """
    if not wanted.query:
        yield Match(0, SQL("true"), {})
        return
    query = words(wanted.query)[:MOST_WORDS]
    if not query:
        return
    named, in_names = [is_name(query)], [in_name(word) for word in query]
    beginning = [begins(word) for word in query]
    if wanted.order == "relevance":
        yield Match(0, SQL("s.terms @> %(terms)s"), {"terms": named})
        yield Match(1, _BUT_NOT, {"terms": in_names, "closer": named})
        yield Match(2, _BUT_NOT, {"terms": beginning, "closer": in_names})
    else:
        yield Match(2, SQL("s.terms @> %(terms)s"), {"terms": beginning})
    found = await corrections(connection, query)
    closer = {term: [term] for term in beginning}
    for errors in (1, 2):
        choices = {
            begins(word): sorted(
                {begins(word), *(begins(other) for count, other in found[word] if count <= errors)}
            )
            for word in query
        }
        if choices != closer:
            yield _with_errors(2 + errors, choices, closer)
        closer = choices


_BUT_NOT = SQL("s.terms @> %(terms)s AND NOT s.terms @> %(closer)s")


def _with_errors(
    kind: int, choices: Mapping[str, Sequence[str]], closer: Mapping[str, Sequence[str]]
) -> Match:
    """Returns the kind of match that has one of the `choices` for each term, and is none that is closer.

    Terms without another choice are one condition: each that is less is planned and looked up sooner.
    """
    alone = [term for term, others in choices.items() if len(others) == 1]
    several = [term for term in choices if term not in alone]
    condition = SQL("{} AND NOT ({})").format(_each(len(several), "choices"), _each(len(several), "closer"))
    if alone:
        condition = SQL("s.terms @> %(terms)s AND {}").format(condition)
    values = _numbered([choices[term] for term in several], "choices")
    values |= _numbered([closer[term] for term in several], "closer")
    return Match(kind, condition, {"terms": alone, **values})


def _each(count: int, name: str) -> Composable:
    """Returns the condition that a store has one of the terms for each word."""
    return SQL(" AND ").join(
        SQL("s.terms && {}::text[]").format(Placeholder(f"{name}_{number}")) for number in range(count)
    )


def _numbered(choices: Sequence[Sequence[str]], name: str) -> dict[str, list[str]]:
    return {f"{name}_{number}": list(terms) for number, terms in enumerate(choices)}


async def open_hours(connection: Connection) -> list[int]:
    """Returns which opening hours say that a store is open at this moment."""
    return await fetch_values(
        connection,
        """
        SELECT id FROM opening_hours WHERE open_minutes @> (%(clocks)s::jsonb ->> time_zone)::integer
        """,
        clocks=minutes_by_zone(),
    )


async def fetch_match(
    connection: Connection,
    wanted: Wanted,
    match: Match,
    behind: _Position | None,
    limit: int,
    *,
    hours: Sequence[int] | None = None,
) -> list[FoundRow]:
    """Returns stores of a kind of match, behind a position of that kind if there is one.

    `hours` are the opening hours that they may have: ids and no condition on the minutes, so that PostgreSQL
    knows how many stores are open, and at night does not look through all of them for one.
    """
    conditions: list[Composable] = [match.condition]
    values: dict[str, Any] = {**match.values, "kind": match.kind, "limit": limit}
    if wanted.category:
        conditions.append(SQL("s.category = %(category)s"))
        values["category"] = wanted.category
    if wanted.brand_id:
        conditions.append(SQL("s.brand_id = %(brand_id)s"))
        values["brand_id"] = wanted.brand_id
    if hours is not None:
        conditions.append(SQL("s.hours_id = ANY(%(hours)s)"))
        values["hours"] = list(hours)
    if behind is not None:
        values |= {"after_value": behind.value, "after_id": behind.store_id}
    condition = SQL(" AND ").join(conditions)
    if wanted.place is None:
        return await _by_name(connection, condition, values, behind=behind is not None)
    return await _by_distance(connection, condition, values, wanted, behind=behind is not None)


_BY_NAME = SQL(
    """
    SELECT {columns}, NULL::float8 AS distance, %(kind)s::integer AS kind
    FROM (
      SELECT * FROM stores s WHERE s.published AND {condition} AND {behind}
      ORDER BY s.name_key, s.id LIMIT %(limit)s
    ) s
    JOIN brands b ON b.id = s.brand_id
    ORDER BY s.name_key, s.id
    """
)


async def _by_name(
    connection: Connection, condition: Composable, values: dict[str, Any], *, behind: bool
) -> list[FoundRow]:
    position = SQL("(s.name_key, s.id) > (%(after_value)s, %(after_id)s)" if behind else "true")
    statement = _BY_NAME.format(columns=COLUMNS, condition=condition, behind=position)
    return await fetch_all(connection, FoundRow, statement, **values)


_AROUND = SQL(
    """
    (
      SELECT s.id, s.latitude, s.longitude FROM stores s
      WHERE s.published AND {condition}
        AND s.position <@ box(point({west}, {south}), point({east}, {north}))
      ORDER BY s.position <-> point({x}, {y}) LIMIT %(most)s
    )
    """
)
_BY_DISTANCE = SQL(
    """
    SELECT {columns}, near.distance, %(kind)s::integer AS kind
    FROM (
      SELECT id, distance FROM (
        SELECT id, %(diameter)s * asin(least(1, sqrt(
          sin(radians(latitude - %(latitude)s) / 2) ^ 2
          + cos(radians(latitude)) * cos(radians(%(latitude)s))
            * sin(radians(longitude - %(longitude)s) / 2) ^ 2
        ))) AS distance
        FROM ({around}) AS candidates
      ) AS measured
      WHERE distance <= %(meters)s AND {behind}
      ORDER BY distance, id LIMIT %(limit)s
    ) AS near
    JOIN stores s ON s.id = near.id
    JOIN brands b ON b.id = s.brand_id
    ORDER BY near.distance, near.id
    """
)


async def _by_distance(
    connection: Connection, condition: Composable, values: dict[str, Any], wanted: Wanted, *, behind: bool
) -> list[FoundRow]:
    assert wanted.place is not None
    parts: list[Composable] = []
    for number, box in enumerate(boxes(wanted.place, wanted.meters)):
        names = {side: f"{side}_{number}" for side in ("x", "y", "west", "south", "east", "north")}
        values |= {name: getattr(box, side) for side, name in names.items()}
        sides = {side: SQL("{}::float8").format(Placeholder(name)) for side, name in names.items()}
        parts.append(_AROUND.format(condition=condition, **sides))
    position = SQL("(distance, id) > (%(after_value)s, %(after_id)s)" if behind else "true")
    statement = _BY_DISTANCE.format(columns=COLUMNS, around=SQL(" UNION ALL ").join(parts), behind=position)
    return await fetch_all(
        connection,
        FoundRow,
        statement,
        **values,
        latitude=wanted.place.latitude,
        longitude=wanted.place.longitude,
        meters=wanted.meters,
        diameter=2 * EARTH_METERS,
        most=MOST_AROUND,
    )


def _position(row: FoundRow) -> str:
    value = row.name_key if row.distance is None else row.distance
    return orjson.dumps([row.kind, value, str(row.id)]).decode()


def _parser(*, by_distance: bool) -> Any:
    """Returns what reads a position from a page token. It raises ValueError for what is none."""

    def parse(text: str) -> _Position:
        kept = orjson.loads(text)
        if not isinstance(kept, list) or len(kept) != 3:
            raise ValueError(text)
        kind, value, store_id = kept
        if not isinstance(kind, int) or not isinstance(value, float if by_distance else str):
            raise ValueError(text)  # noqa: TRY004  # it is a text that is wrong
        if isinstance(value, str):
            parse_text(value)
        return _Position(kind, value, UUID(str(store_id)))

    return parse
