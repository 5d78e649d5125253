"""CSV of lists and results: for spreadsheets, harmless there, and with an end that tells a cut file."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import islice

from google.api import httpbody_pb2

from services.common.encoding import Context

CONTENT_TYPE = "text/csv; charset=utf-8"
END = "#end"
_PIECE = 100
"""Rows that are made into text at a time: other calls of the process wait for so many, some milliseconds."""
_BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"  # without it Excel reads UTF-8 as the system's own encoding
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001  # as typed in Japan


async def csv_replies(
    context: Context, name: str, columns: Sequence[str], batches: AsyncIterator[Iterable[Sequence[object]]]
) -> AsyncIterator[httpbody_pb2.HttpBody]:
    """Yields a CSV file in pieces, to be saved as `<name>.csv`.

    Every cell is quoted, so that no separator or line break starts another one, and a text that
    a spreadsheet would take for a formula begins with an apostrophe. The last line is `"#end"` and the number
    of rows: without it the file is cut.
    """
    await context.send_initial_metadata(
        (
            ("content-disposition", f'attachment; filename="{name}.csv"'),
            ("cache-control", "no-store"),
        )
    )
    yield httpbody_pb2.HttpBody(content_type=CONTENT_TYPE, data=_BOM.encode() + csv_lines([columns]))
    count = 0
    async for rows in batches:
        left = iter(rows)
        while piece := list(islice(left, _PIECE)):
            count += len(piece)
            yield httpbody_pb2.HttpBody(data=csv_lines(piece))
    yield httpbody_pb2.HttpBody(data=csv_lines([(END, count)]))


def csv_lines(rows: Iterable[Sequence[object]]) -> bytes:
    """Returns rows as lines of CSV."""
    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows([_cell(value) for value in row] for row in rows)
    return out.getvalue().encode()


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA):
        return f"'{value}"
    return value
