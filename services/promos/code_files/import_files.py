"""Files of existing codes: what each line says, and which lines can not be taken."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from services.common.codes import read_code
from services.common.csv_files import CsvLine, parse_csv
from services.promos.codes import NewCode

SHORTEST, LONGEST = 4, 64
MOST_USES = 1_000_000
_SHOWN = 100
"""Characters of a refused cell that the report shows."""
_OTHER_DASHES = r"\u2010-\u2015\u2212"
_TYPED = re.compile(rf"[0-9A-Za-z._ \-{_OTHER_DASHES}]*")
_OTHER_DASH = re.compile(f"[{_OTHER_DASHES}]")
_USES = re.compile("[0-9]{1,7}")

Outcome = Literal[
    "TOO_SHORT",
    "TOO_LONG",
    "CHARACTERS_NOT_VALID",
    "USES_NOT_VALID",
    "CELLS_NOT_VALID",
    "REPEATED",
    "EXISTS",
]


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A line as it stands in the file, by its number there, and why it is not taken."""

    number: int
    code: str
    uses: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class CodeFile:
    """The codes of a file that can be taken, with their lines, and the lines that can not."""

    codes: Mapping[NewCode, CsvLine]
    refused: Sequence[RefusedLine]

    @property
    def lines(self) -> int:
        """How many lines the file has, without the header."""
        return len(self.codes) + len(self.refused)


def parse(content: bytes) -> CodeFile:
    """Returns what a file says. Raises VALIDATION_FAILED when it is not CSV with the columns of codes."""
    codes: dict[NewCode, CsvLine] = {}
    refused: list[RefusedLine] = []
    seen: set[str] = set()
    for line in parse_csv(content, ["code"], ["uses"]):
        written, uses = line.cells
        code = read_code(written)
        outcome = _fault(line, code, written, uses) or ("REPEATED" if code in seen else None)
        if outcome:
            refused.append(refuse(line, outcome))
        else:
            seen.add(code)
            printed = _printed(written)
            kept = None if printed == code else printed
            codes[NewCode(code, int(uses) if uses else None, kept)] = line
    return CodeFile(codes, refused)


def refuse(line: CsvLine, outcome: Outcome) -> RefusedLine:
    """Returns a line as the report shows it."""
    code, uses = line.cells
    shown = ",".join([uses, *line.surplus])
    return RefusedLine(line.number, code[:_SHOWN], shown[:_SHOWN], outcome)


def _printed(written: str) -> str:
    """Returns a code as the retailer wrote it, in capitals, with one kind of dash and single spaces."""
    return _OTHER_DASH.sub("-", " ".join(written.split()).upper())


def _fault(line: CsvLine, code: str, written: str, uses: str) -> Outcome | None:
    if not line.whole:
        return "CELLS_NOT_VALID"
    if not _TYPED.fullmatch(written):
        return "CHARACTERS_NOT_VALID"
    if len(code) < SHORTEST:
        return "TOO_SHORT"
    if len(code) > LONGEST or len(written) > LONGEST:  # who types it sends it with its separators
        return "TOO_LONG"
    if uses and not (_USES.fullmatch(uses) and 1 <= int(uses) <= MOST_USES):
        return "USES_NOT_VALID"
    return None
