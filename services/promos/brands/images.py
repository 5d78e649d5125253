"""Judging images that people send, by decoding them, and making logos of them.

What comes out is a picture and nothing else: metadata, such as where a photo was taken, and what may hide
behind the image do not survive.
"""

from __future__ import annotations

import asyncio
import io
import warnings
from concurrent.futures import ThreadPoolExecutor

from PIL import Image as Pillow
from PIL import ImageOps

from services.common.errors import overloaded
from services.common.qr import Image
from services.promos.brands.refusals import image_not_valid

MOST_BYTES = 2 << 20
MOST_PIXELS = 25_000_000
LOGO_PIXELS = 512
"""The most in either direction."""
_FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
_LONGEST_WAIT = 5.0


class Images:
    """Makes logos, off the event loop and one at a time: each may hold some 100 MB while it is made."""

    def __init__(self) -> None:
        # A thread of its own: a call that is cancelled leaves it at work, and must not free the place.
        self._thread = ThreadPoolExecutor(1, "images")
        self._slot = asyncio.Semaphore()

    async def logo(self, data: bytes) -> Image:
        """Returns a logo of what was sent. Raises IMAGE_NOT_VALID, and OVERLOADED when too many wait."""
        try:
            async with asyncio.timeout(_LONGEST_WAIT):
                await self._slot.acquire()
        except TimeoutError:
            raise overloaded("images", seconds=_LONGEST_WAIT) from None
        work = asyncio.get_running_loop().run_in_executor(self._thread, make_logo, data)
        work.add_done_callback(lambda _: self._slot.release())
        return await asyncio.shield(work)


def make_logo(data: bytes) -> Image:
    """Returns what was sent as a logo of the same format. Raises IMAGE_NOT_VALID.

    The size is read from the header and judged before anything is unpacked.
    """
    if len(data) > MOST_BYTES:
        raise image_not_valid("bytes", f"an image has {MOST_BYTES} bytes at most")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of images that are large, which are refused below
            image = Pillow.open(io.BytesIO(data), formats=tuple(_FORMATS))
            if image.width * image.height > MOST_PIXELS:
                raise image_not_valid("pixels", f"an image has {MOST_PIXELS} pixels at most")
            return _made(image)
    except Pillow.DecompressionBombError:
        raise image_not_valid("pixels", f"an image has {MOST_PIXELS} pixels at most") from None
    except (OSError, SyntaxError, ValueError, EOFError, OverflowError):
        raise image_not_valid("format", "not a whole image of the format PNG, JPEG or WebP") from None


def _made(image: Pillow.Image) -> Image:
    kind = str(image.format)
    if kind == "JPEG":
        image.draft("RGB", (LOGO_PIXELS, LOGO_PIXELS))
    image.load()
    clear = kind != "JPEG" and ("A" in image.getbands() or "transparency" in image.info)
    mode = "RGBA" if clear else "RGB"
    small = image if image.mode == mode else image.convert(mode)
    small.thumbnail((LOGO_PIXELS, LOGO_PIXELS))
    upright = ImageOps.exif_transpose(small)
    bare = Pillow.new(mode, upright.size)
    bare.paste(upright)
    out = io.BytesIO()
    bare.save(out, kind)
    return Image(_FORMATS[kind], out.getvalue())
