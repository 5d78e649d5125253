"""Reads sheets of codes as a printer and a scanner do."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import zxingcpp
from PIL import Image, ImageDraw

_PIXELS = 8
"""Per millimetre."""


@dataclass(frozen=True)
class Page:
    """A page of a PDF: its size in points, the texts on it, and its rectangles."""

    width: float
    height: float
    texts: Sequence[str]
    rectangles: Sequence[tuple[float, float, float, float]]

    def scan(self) -> Counter[str]:
        """Returns what a scanner reads on it."""
        points = _PIXELS * 25.4 / 72
        image = Image.new("L", (int(self.width * points), int(self.height * points)), 255)
        pen = ImageDraw.Draw(image)
        for x, y, width, height in self.rectangles:
            top = self.height - y
            box = [x * points, top * points, (x + width) * points - 1, (top - height) * points - 1]
            pen.rectangle([box[0], min(box[1], box[3]), box[2], max(box[1], box[3])], fill=0)
        return Counter(one.text for one in zxingcpp.read_barcodes(image))


def pages(pdf: bytes) -> Iterator[Page]:
    """Yields the pages of a PDF, as far as sheets use it."""
    assert pdf.startswith(b"%PDF-")
    sizes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", pdf)
    contents = []
    for raw in re.findall(rb"stream\n(.*?)\nendstream", pdf, re.DOTALL):
        try:
            text = zlib.decompress(raw).decode("latin-1")
        except zlib.error:
            continue
        if " re " in text or " Tj" in text:
            contents.append(text)
    assert len(sizes) in (1, len(contents))
    for number, text in enumerate(contents):
        width, height = map(float, sizes[number if len(sizes) > 1 else 0])
        number_ = r"(-?[\d.]+)"
        found = re.findall(rf"{number_} {number_} {number_} {number_} re f", text)
        rectangles = [(float(x), float(y), float(w), float(h)) for x, y, w, h in found]
        yield Page(width, height, re.findall(r"\(((?:[^()\\]|\\.)*)\) Tj", text), rectangles)
