"""QR images."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

SCALE, MARGIN = 8, 4


@dataclass(frozen=True)
class Image:
    """An image and its media type."""

    content_type: str
    data: bytes


def render(text: str, *, svg: bool, scale: int = SCALE, margin: int = MARGIN) -> Image:
    """Returns the text as a QR code of error correction level M or better, as SVG or PNG.

    `scale` is in pixels per module, and cameras need some three; `margin`, the quiet zone around the code, is
    in modules.
    """
    import segno  # noqa: PLC0415  # seldom needed, and slow to load

    code = segno.make(text, error="m", micro=False)
    if not svg:
        return Image("image/png", _png(code.matrix, scale, margin))
    out = io.BytesIO()
    code.save(out, kind="svg", scale=scale, border=margin)
    return Image("image/svg+xml", out.getvalue())


def modules(text: str) -> Sequence[bytes | bytearray]:
    """Returns the rows of a QR code as bytes, 1 for dark and 0 for light, without a margin.

    For many codes at once: the mask is always the first. Scanners read each of the eight, and to find out
    which one looks best takes most of the time.
    """
    import segno  # noqa: PLC0415

    return segno.make(text, error="m", micro=False, mask=0).matrix


def _png(modules: Sequence[Sequence[int]], scale: int, margin: int) -> bytes:
    """Returns a PNG of one bit per pixel. Segno's own takes four times as long for a large one."""
    side = (len(modules) + 2 * margin) * scale
    line_bytes = -(-side // 8)
    same_as_above = (b"\2" + bytes(line_bytes)) * (scale - 1)  # the filter "Up", and no difference
    border, quiet = "1" * side, "1" * (margin * scale)
    dark_and_light = ("1" * scale, "0" * scale)

    def lines(pixels: str) -> bytes:
        packed = int(pixels.ljust(line_bytes * 8, "0"), 2).to_bytes(line_bytes, "big")
        return b"\0" + packed + same_as_above

    edge = lines(border) * margin
    body = b"".join(lines(quiet + "".join(map(dark_and_light.__getitem__, row)) + quiet) for row in modules)
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)  # 1 bit, greyscale
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(edge + body + edge, 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    content = name + data
    return struct.pack(">I", len(data)) + content + struct.pack(">I", zlib.crc32(content))
