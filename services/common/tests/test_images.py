"""Images that people send: what is taken of them, and what is not."""

from __future__ import annotations

import io
import random

import pytest
from PIL import Image

from services.common.errors import DomainError
from services.common.images import MOST_BYTES, make_copies


def test_a_photo_with_a_preview_behind_it_is_a_jpeg() -> None:
    out = io.BytesIO()
    photo, preview = Image.new("RGB", (640, 480), "red"), Image.new("RGB", (64, 48), "blue")
    photo.save(out, "MPO", save_all=True, append_images=[preview])
    assert Image.open(io.BytesIO(out.getvalue())).format == "MPO"
    (copy,) = make_copies(out.getvalue(), [320])
    assert (copy.content_type, copy.width, copy.height) == ("image/jpeg", 320, 240)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_is_refused(kind: str) -> None:
    out = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(out, kind, save_all=True, append_images=frames[1:])
    with pytest.raises(DomainError, match="IMAGE_NOT_VALID") as refused:
        make_copies(out.getvalue(), [320])
    assert refused.value.metadata == {"rule": "animated"}


def test_an_image_that_would_grow_is_made_smaller_until_it_fits() -> None:
    noise = Image.frombytes("1", (3_200, 3_200), random.Random(1).randbytes(3_200 * 3_200 // 8))
    out = io.BytesIO()
    noise.save(out, "PNG")
    assert len(out.getvalue()) < MOST_BYTES
    full, small = make_copies(out.getvalue(), [2_048, 320])
    assert len(full.data) <= MOST_BYTES
    assert 320 < full.width < 2_048
    assert (small.width, small.height) == (320, 320)
