"""Judging images that people send, by decoding them, and making copies of them to be kept.

What comes out is a picture and nothing else: metadata, such as where a photo was taken, and what may hide
behind the image do not survive.
"""

from __future__ import annotations

import asyncio
import io
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from PIL import Image as Pillow
from PIL import ImageOps

from services.common.errors import DomainError, overloaded
from services.common.qr import Image

MOST_BYTES = 2 << 20
MOST_PIXELS = 25_000_000
_FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
_LONGEST_WAIT = 5.0
_QUALITY = 85


@dataclass(frozen=True)
class Picture(Image):
    """An image with its size in pixels."""

    width: int
    height: int


class Images:
    """Makes copies, off the event loop and one at a time: each may hold some 100 MB while it is made."""

    def __init__(self) -> None:
        # A thread of its own: a call that is cancelled leaves it at work, and must not free the place.
        self._thread = ThreadPoolExecutor(1, "images")
        self._slot = asyncio.Semaphore()

    async def copies(self, data: bytes, *sides: int) -> Sequence[Picture]:
        """Returns a copy of what was sent for each number of pixels that it may have in either direction.

        Raises IMAGE_NOT_VALID, and OVERLOADED when too many wait.
        """
        try:
            async with asyncio.timeout(_LONGEST_WAIT):
                await self._slot.acquire()
        except TimeoutError:
            raise overloaded("images", seconds=_LONGEST_WAIT) from None
        work = asyncio.get_running_loop().run_in_executor(self._thread, make_copies, data, sides)
        work.add_done_callback(lambda _: self._slot.release())
        return await asyncio.shield(work)


def make_copies(data: bytes, sides: Sequence[int]) -> Sequence[Picture]:
    """Returns copies of what was sent, of the same format, each within its side and within MOST_BYTES.

    The size is read from the header and judged before anything is unpacked. Raises IMAGE_NOT_VALID.
    """
    if len(data) > MOST_BYTES:
        raise image_not_valid("bytes", f"an image has {MOST_BYTES} bytes at most")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of images that are large, which are refused below
            image = Pillow.open(io.BytesIO(data), formats=tuple(_FORMATS))
            if image.width * image.height > MOST_PIXELS:
                raise image_not_valid("pixels", f"an image has {MOST_PIXELS} pixels at most")
            # A photo with a preview behind it is opened as MPO.
            kind = "JPEG" if image.format == "MPO" else str(image.format)
            if kind != "JPEG" and getattr(image, "is_animated", False):
                raise image_not_valid("animated", "an image has no animation")
            return _made(image, kind, sides)
    except Pillow.DecompressionBombError:
        raise image_not_valid("pixels", f"an image has {MOST_PIXELS} pixels at most") from None
    except (OSError, SyntaxError, ValueError, EOFError, OverflowError):
        raise image_not_valid("format", "not a whole image of the format PNG, JPEG or WebP") from None


def image_not_valid(rule: str, message: str) -> DomainError:
    """What was sent is not an image that is taken; `rule` tells why for programs."""
    return DomainError("IMAGE_NOT_VALID", message, rule=rule)


def _made(image: Pillow.Image, kind: str, sides: Sequence[int]) -> Sequence[Picture]:
    largest = max(sides)
    if kind == "JPEG":
        image.draft("RGB", (largest, largest))
    image.load()
    clear = kind != "JPEG" and ("A" in image.getbands() or "transparency" in image.info)
    mode = "RGBA" if clear else "RGB"
    small = image if image.mode == mode else image.convert(mode)
    small.thumbnail((largest, largest))
    upright = ImageOps.exif_transpose(small)
    bare = Pillow.new(mode, upright.size)
    bare.paste(upright)
    return [_copy(bare, kind, side) for side in sides]


def _copy(bare: Pillow.Image, kind: str, side: int) -> Picture:
    copy = bare.copy()
    copy.thumbnail((side, side))
    data = _encoded(copy, kind)
    while len(data) > MOST_BYTES:  # it was sent in fewer bytes: with few colours, or packed better
        side //= 2
        copy.thumbnail((side, side))
        data = _encoded(copy, kind)
    return Picture(_FORMATS[kind], data, copy.width, copy.height)


def _encoded(image: Pillow.Image, kind: str) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, quality=_QUALITY)
    return out.getvalue()
