"""Arrays arrive in PostgreSQL as they were given."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
import pytest

from services.common.ids import new_id
from services.points.purchases import arrays
from stack.postgres import Postgres

IDS = [new_id() for _ in range(3)]


@pytest.fixture(scope="module")
def connection(postgres: Postgres) -> Any:
    """A connection to a database of the test's own."""
    postgres.create_database("arrays")
    with psycopg.connect(postgres.url("arrays"), autocommit=True) as opened:
        yield opened


@pytest.mark.parametrize(
    ("array", "kind", "values"),
    [
        (arrays.int8s, "bigint", [0, 1, -1, 2**63 - 1, -(2**63)]),
        (arrays.int4s, "int", [0, 2**31 - 1, -(2**31)]),
        (arrays.int2s, "smallint", [0, 500, -(2**15)]),
        (arrays.bools, "bool", [True, False, True]),
        (arrays.uuids, "uuid", IDS),
        (arrays.texts, "text", ["", "a", "Käse ☕ {,}\"'\\", "x" * 100_000]),
        (arrays.blobs, "bytea", [b"", b"\0\xff", b"y" * 100_000]),
    ],
)
@pytest.mark.parametrize("empty", [False, True])
def test_values_arrive(connection: Any, array: Any, kind: str, values: list[Any], empty: bool) -> None:
    given = [] if empty else values
    for _ in range(7):  # the driver prepares what it sees often
        (kept,) = connection.execute(f"SELECT %(a)b::{kind}[]", {"a": array(given)}).fetchone()
        assert kept == given
    rows = connection.execute(f"SELECT * FROM unnest(%(a)b::{kind}[])", {"a": array(given)}).fetchall()
    assert [row[0] for row in rows] == given


def test_different_arrays_can_be_in_one_statement(connection: Any) -> None:
    given = {"a": arrays.texts(["1"]), "b": arrays.int4s([2]), "c": arrays.uuids([UUID(int=3)])}
    statement = "SELECT %(a)b::text[], %(b)b::int[], %(c)b::uuid[]"
    assert connection.execute(statement, given).fetchone() == (["1"], [2], [UUID(int=3)])
