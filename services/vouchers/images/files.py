"""The files of images: two of each, named by its id and size."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

Size = Literal["full", "thumbnail"]
PIXELS: dict[Size, int] = {"full": 2048, "thumbnail": 320}
"""The most in either direction."""


def file_name(image_id: UUID, size: Size) -> str:
    """Returns the name of a file."""
    return f"{image_id}.{size}"


def image_id_of(name: str) -> str:
    """Returns the id of the image whose file has this name. What is left of an upload has no image."""
    return name.partition(".")[0]
