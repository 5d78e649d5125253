"""Sheets of QR codes to print and cut out, as PDF."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.common import qr

if TYPE_CHECKING:
    from fpdf import FPDF

_BORDER, _HEADER = 10.0, 8.0
_GAP = 3.0
_QUIET = 4
"""The margin around a code, in modules."""
_POINTS, _LINE = 8, 3.5
_CHARACTER = 0.6 * _POINTS * 25.4 / 72
"""The width of a character of Courier."""
_ENCODING = "cp1252"
"""That of PDF's own fonts (WinAnsiEncoding)."""


@dataclass(frozen=True, slots=True)
class Paper:
    """The size of the paper. All lengths are in millimetres."""

    width: float
    height: float


A4, LETTER = Paper(210.0, 297.0), Paper(215.9, 279.4)


@dataclass(frozen=True, slots=True)
class SheetCode:
    """A code, and how people read it."""

    code: str
    display: str


@dataclass(frozen=True, slots=True)
class _Cell:
    """The place of a code on its page."""

    page: int
    x: float
    y: float
    side: float


def draw(codes: Sequence[SheetCode], *, title: str, plain_title: str, paper: Paper, columns: int) -> bytes:
    """Returns the codes as QR codes with their text below, in `columns`, on as many pages as it takes.

    PDF's own fonts know the letters and signs of Western Europe alone (Windows-1252): of a title with others
    the whole is in the file's properties, which viewers show, and `plain_title` is printed.
    """
    from fpdf import FPDF  # noqa: PLC0415  # seldom needed, and slow to load

    pdf = FPDF(unit="mm", format=(paper.width, paper.height))
    pdf.core_fonts_encoding = _ENCODING
    pdf.set_auto_page_break(False)
    pdf.set_title(title)
    printed = title if _is_printable(title) else plain_title
    page = 0
    for cell, code in zip(_cells(codes, paper, columns), codes, strict=False):
        if cell.page != page:
            page = cell.page
            _begin_page(pdf, f"{printed} - {page}")
        _draw_code(pdf, cell, code)
        time.sleep(0)  # lets the process go on with its calls
    if not codes:
        _begin_page(pdf, printed)
    return bytes(pdf.output())


def _begin_page(pdf: FPDF, header: str) -> None:
    pdf.add_page()
    pdf.set_font("Helvetica", size=10)
    pdf.text(_BORDER, _BORDER + 3, header)
    pdf.set_font("Courier", size=_POINTS)


def _cells(codes: Sequence[SheetCode], paper: Paper, columns: int) -> Iterator[_Cell]:
    """Yields places without end, row by row."""
    width = (paper.width - 2 * _BORDER + _GAP) / columns
    side = width - _GAP
    height = side + _GAP + _LINE * max((len(_lines(code, side)) for code in codes), default=1)
    rows = max(1, int((paper.height - 2 * _BORDER - _HEADER) // height))
    number = 0
    while True:
        page, place = divmod(number, rows * columns)
        row, column = divmod(place, columns)
        yield _Cell(page + 1, _BORDER + column * width, _BORDER + _HEADER + row * height, side)
        number += 1


def _draw_code(pdf: FPDF, cell: _Cell, code: SheetCode) -> None:
    modules = qr.modules(code.code)
    size = cell.side / (len(modules) + 2 * _QUIET)
    for number, row in enumerate(modules):
        y, column = cell.y + (number + _QUIET) * size, _QUIET
        for run in row.split(b"\0"):  # dark modules side by side are one rectangle
            if run:
                pdf.rect(cell.x + column * size, y, len(run) * size, size, style="F")
            column += len(run) + 1
    for number, line in enumerate(_lines(code, cell.side)):
        indent = (cell.side - len(line) * _CHARACTER) / 2
        pdf.text(cell.x + indent, cell.y + cell.side + number * _LINE + 1, line)


def _lines(code: SheetCode, side: float) -> Sequence[str]:
    """Returns the text of a code in lines that fit below it."""
    fitting = max(1, int(side // _CHARACTER))
    return [code.display[start : start + fitting] for start in range(0, len(code.display), fitting)]


def _is_printable(text: str) -> bool:
    try:
        text.encode(_ENCODING)
    except UnicodeEncodeError:
        return False
    return True
