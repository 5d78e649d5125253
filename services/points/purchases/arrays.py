"""Arrays of plain values in PostgreSQL's binary form, each made in one go.

The driver's own way looks at each element three times, which is five times the work where statements take
thousands of rows. Given as parameters marked `%b`; none of the elements may be None.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg.adapt import Dumper, PyFormat
from psycopg.pq import Format

_BOOL, _BYTEA, _INT8, _INT2, _INT4, _TEXT, _UUID = 16, 17, 20, 21, 23, 25, 2950
_ARRAY_OF = {_BOOL: 1000, _BYTEA: 1001, _INT8: 1016, _INT2: 1005, _INT4: 1007, _TEXT: 1009, _UUID: 2951}
_HEAD = struct.Struct(">iiIii")
_length = struct.Struct(">i").pack


class Array(NamedTuple):
    """An array as it goes over the wire, and the type of it."""

    data: bytes
    oid: int


def int8s(values: Sequence[int]) -> Array:
    """Returns a `bigint[]`. Raises struct.error for a number that does not fit, as the two below do."""
    return _fixed(values, _INT8, "q", 8)


def int4s(values: Sequence[int]) -> Array:
    """Returns an `int[]`."""
    return _fixed(values, _INT4, "i", 4)


def int2s(values: Sequence[int]) -> Array:
    """Returns a `smallint[]`."""
    return _fixed(values, _INT2, "h", 2)


def bools(values: Sequence[bool]) -> Array:
    """Returns a `bool[]`."""
    return _fixed(values, _BOOL, "?", 1)


def uuids(values: Sequence[UUID]) -> Array:
    """Returns a `uuid[]`."""
    head = _length(16)
    return _array(b"".join([head + value.bytes for value in values]), _UUID, len(values))


def texts(values: Sequence[str]) -> Array:
    """Returns a `text[]`."""
    return blobs([value.encode() for value in values], _TEXT)


def lists(values: Sequence[Sequence[object]]) -> Array:
    """Returns a `text[]` of lists of numbers or ids as PostgreSQL writes them, empty when all of them are.

    An array of lists of different lengths does not exist: these are cast in the statement, '' to NULL.
    """
    if not any(values):
        return NONE
    return texts([f"{{{','.join(map(str, value))}}}" if value else "" for value in values])


def blobs(values: Sequence[bytes], element: int = _BYTEA) -> Array:
    """Returns a `bytea[]`."""
    return _array(
        b"".join([part for value in values for part in (_length(len(value)), value)]), element, len(values)
    )


def _fixed(values: Sequence[Any], element: int, code: str, size: int) -> Array:
    with_lengths: list[Any] = [size] * (2 * len(values))
    with_lengths[1::2] = values
    return _array(struct.pack(">" + ("i" + code) * len(values), *with_lengths), element, len(values))


def _array(body: bytes, element: int, count: int) -> Array:
    if not count:
        return Array(struct.pack(">iiI", 0, 0, element), _ARRAY_OF[element])
    return Array(_HEAD.pack(1, 0, element, count, 1) + body, _ARRAY_OF[element])


NONE = _array(b"", _TEXT, 0)
"""An empty `text[]`: beside others in one `unnest`, all of its elements are NULL."""


class _ArrayDumper(Dumper):
    """Hands on what is ready."""

    format = Format.BINARY

    def dump(self, obj: Any) -> bytes:
        """Returns the bytes."""
        data: bytes = obj.data
        return data

    def get_key(self, obj: Any, format: PyFormat) -> Any:  # noqa: A002, ARG002  # the name is psycopg's
        """Returns one dumper for each type of array."""
        return (self.cls, obj.oid)

    def upgrade(self, obj: Any, format: PyFormat) -> Dumper:  # noqa: A002, ARG002
        """Returns a dumper that knows the type."""
        dumper = _ArrayDumper(self.cls)
        dumper.oid = obj.oid
        return dumper


# Before any connection is made: engines copy what is registered when they are created.
psycopg.adapters.register_dumper(Array, _ArrayDumper)
