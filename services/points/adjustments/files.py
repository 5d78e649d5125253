"""Files of adjustments: CSV that staff hand in, and what became of each line."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.common import texts
from services.common.errors import DomainError, invalid_field

MOST_LINES = 20_000
MOST_BYTES = 1 << 20
MOST_POINTS = 1_000_000_000
DONE, WAITING, NOT_VALID = "done", "waiting", "VALIDATION_FAILED"

_COLUMNS = ("member_id", "delta", "reason")
RESULT_COLUMNS = ("line", *_COLUMNS, "outcome", "balance_after")
_MEMBER_ID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_DELTA = re.compile(r"[+-]?[0-9]{1,10}")
_LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class FileLine:
    """A line as it stands in the file, by the number that it has there; the header is line 1."""

    number: int
    member_id: str
    delta: str
    reason: str
    valid: bool


@dataclass(frozen=True, slots=True)
class LineResult:
    """What became of a line; `outcome` is None as long as it waits."""

    number: int
    member_id: str
    delta: str
    reason: str
    outcome: str | None
    balance_after: int | None


def parse(content: bytes) -> Sequence[FileLine]:
    """Returns the lines of a file, those that can not be done among them.

    Raises VALIDATION_FAILED, with the number of the line, when it is not CSV with these columns, or is too
    large.
    """
    if len(content) > MOST_BYTES:
        raise _fault(f"may be {MOST_BYTES} bytes at most")
    rows = _rows(_text(content))
    _, header = next(rows, (1, []))
    columns = [cell.strip().lower() for cell in header]
    if sorted(columns) != sorted(_COLUMNS):
        raise _fault(f"line 1: the header must be {','.join(_COLUMNS)}")
    places = [columns.index(name) for name in _COLUMNS]
    lines = [_line(number, cells, places) for number, cells in rows]
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


def _line(number: int, cells: list[str], places: Sequence[int]) -> FileLine:
    whole = len(cells) == len(places)
    member_id, delta, reason = (cells[place].strip() if place < len(cells) else "" for place in places)
    if len(cells) > len(places):  # shown with the reason, where a stray comma is likely
        reason = ",".join([reason, *cells[len(places) :]])
    valid = (
        whole
        and _MEMBER_ID.fullmatch(member_id) is not None
        and _DELTA.fullmatch(delta) is not None
        and 0 < abs(int(delta)) <= MOST_POINTS
        and 0 < len(reason) <= _LONGEST_REASON
        and texts.fault(reason, lines=True) is None
    )
    return FileLine(number, member_id, delta, reason, valid)


def result_row(line: LineResult) -> Sequence[object]:
    """Returns a line of a result, in the order of `RESULT_COLUMNS`."""
    return (
        line.number,
        line.member_id,
        int(line.delta) if _DELTA.fullmatch(line.delta) else line.delta,
        line.reason,
        line.outcome or WAITING,
        line.balance_after,
    )


def _fault(description: str) -> DomainError:
    return invalid_field("file.data", description)
