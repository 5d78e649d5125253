"""CSV files that staff hand in: what is no such file is refused whole, with the number of the line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.common.errors import DomainError, invalid_field

CONTENT_TYPE = "text/csv"
MOST_LINES = 20_000
MOST_BYTES = 1 << 20
"""As large as a body may be that the edge lets through."""


@dataclass(frozen=True, slots=True)
class CsvLine:
    """A line by the number that it has in the file, where the header is line 1.

    `cells` are in the order of the columns that were asked for, and empty where the file lacks one;
    `surplus` are those beyond the header; `whole` tells that there are as many as the header has.
    """

    number: int
    cells: Sequence[str]
    surplus: Sequence[str]
    whole: bool


def require_csv(content_type: str) -> None:
    """Raises VALIDATION_FAILED unless a file's content type is that of CSV."""
    if content_type.partition(";")[0].strip().lower() != CONTENT_TYPE:
        raise invalid_field("file.content_type", f"must be {CONTENT_TYPE}")


def parse_csv(content: bytes, columns: Sequence[str], optional: Sequence[str] = ()) -> Sequence[CsvLine]:
    """Returns the lines after the header, which has these columns in any order; blank lines are left out.

    Raises VALIDATION_FAILED when it is not CSV with these columns, or is too large.
    """
    if len(content) > MOST_BYTES:
        raise _fault(f"may be {MOST_BYTES} bytes at most")
    rows = _rows(_text(content))
    _, header = next(rows, (1, []))
    found = [cell.strip().lower() for cell in header]
    given = [*columns, *(name for name in optional if name in found)]
    if sorted(found) != sorted(given):
        wanted = ",".join(columns) + "".join(f"[,{name}]" for name in optional)
        raise _fault(f"line 1: the header must be {wanted}")
    places = [found.index(name) if name in found else len(found) for name in (*columns, *optional)]
    lines = [_line(number, cells, places, len(found)) for number, cells in rows]
    if not lines:
        raise _fault("has no lines after the header")
    return lines


def _text(content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = 1 + content.count(b"\n", 0, error.start)
        raise _fault(f"line {number}: is not UTF-8") from error
    if "\0" in text:
        raise _fault(f"line {1 + text[: text.index(chr(0))].count(chr(10))}: holds a NUL character")
    return text


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Each row with the number of its first line; blank ones are left out."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    number, lines = 1, -1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                lines += 1
                if lines > MOST_LINES:
                    raise _fault(f"line {number}: there may be {MOST_LINES} lines after the header at most")
                yield number, cells
            number = reader.line_num + 1
    except csv.Error as error:
        raise _fault(f"line {number}: is not CSV: {error}") from error


def _line(number: int, cells: list[str], places: Sequence[int], width: int) -> CsvLine:
    known = [cell.strip() for cell in cells[:width]]
    ordered = [known[place] if place < len(known) else "" for place in places]
    return CsvLine(number, ordered, cells[width:], len(cells) == width)


def _fault(description: str) -> DomainError:
    return invalid_field("file.data", description)
