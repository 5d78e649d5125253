"""Files of adjustments: CSV that staff hand in, and what became of each line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from services.common import texts
from services.common.csv_files import CsvLine, parse_csv

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
    return [_line(line) for line in parse_csv(content, _COLUMNS)]


def _line(line: CsvLine) -> FileLine:
    member_id, delta, reason = line.cells
    if line.surplus:  # shown with the reason, where a stray comma is likely
        reason = ",".join([reason, *line.surplus])
    valid = (
        line.whole
        and _MEMBER_ID.fullmatch(member_id) is not None
        and _DELTA.fullmatch(delta) is not None
        and 0 < abs(int(delta)) <= MOST_POINTS
        and 0 < len(reason) <= _LONGEST_REASON
        and texts.fault(reason, lines=True) is None
    )
    return FileLine(line.number, member_id, delta, reason, valid)


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
