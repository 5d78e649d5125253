"""QR images."""

from __future__ import annotations

import io
from dataclasses import dataclass

import segno


@dataclass(frozen=True)
class Image:
    """An image and its media type."""

    content_type: str
    data: bytes


def render(text: str, *, svg: bool) -> Image:
    """The text as a QR code of error correction level M, as SVG or PNG, with the standard quiet zone."""
    out = io.BytesIO()
    code = segno.make(text, error="m", micro=False)
    code.save(out, kind="svg" if svg else "png", scale=8, border=4)
    return Image("image/svg+xml" if svg else "image/png", out.getvalue())
