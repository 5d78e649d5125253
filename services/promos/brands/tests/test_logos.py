"""Logos: what is taken for an image, what becomes of it, and who may give one."""

from __future__ import annotations

import asyncio
import io
import struct
import zlib
from typing import Any

import grpc
import pytest
from google.api import httpbody_pb2
from PIL import Image, PngImagePlugin
from scrip.promos.v1 import brand_pb2, store_pb2

from services.common.ids import new_id
from services.common.images import MOST_BYTES
from services.promos.tests.brands_help import Brands
from services.promos.tests.support import Promos, at_once
from tests.inprocess import bearer, reason, refusal

GPS, ORIENTATION = 0x8825, 0x0112


def picture(size: tuple[int, int] = (64, 48), kind: str = "PNG", mode: str = "RGB", **options: Any) -> bytes:
    """Returns an image: red, and blue on its left half."""
    out = io.BytesIO()
    image = Image.new(mode, size, "red")
    image.paste("blue", (0, 0, size[0] // 2, size[1]))
    image.save(out, kind, **options)
    return out.getvalue()


def bomb(width: int, height: int) -> bytes:
    """Returns a small PNG that says it is so large, and would be when unpacked."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    line = b"\0" + bytes(-(-width // 8))
    data = zlib.compress(line * min(height, 2_000), 9)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


async def read(brands: Brands, logo_path: str) -> tuple[httpbody_pb2.HttpBody, dict[str, Any]]:
    """Returns a logo as everybody reads it, with its headers."""
    request = brand_pb2.GetLogoRequest(image_id=logo_path.removeprefix("/v1/logos/"))
    call = brands.stub.GetLogo(request)
    return await call, dict(await call.initial_metadata())


def decoded(body: httpbody_pb2.HttpBody) -> Image.Image:
    return Image.open(io.BytesIO(body.data))


@pytest.mark.covers("C6 BrandService.UploadBrandLogo", "C6 BrandService.GetLogo")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
async def test_a_logo_is_kept_small_and_without_metadata_and_anybody_reads_it(
    brands: Brands, kind: str
) -> None:
    made = await brands.brand()
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # to be turned by a quarter
    exif.get_ifd(GPS)[1] = "N"
    data = picture((1_600, 800), kind, exif=exif.tobytes())
    assert b"Exif" in data or kind != "JPEG"
    after = await brands.logo(made.brand.id, data)
    assert after.etag != made.etag
    body, headers = await read(brands, after.brand.logo_path)
    assert body.content_type == f"image/{kind.lower()}"
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    assert headers["etag"] == f'"{after.brand.logo_path.removeprefix("/v1/logos/")}"'
    logo = decoded(body)
    assert (logo.format, logo.size) == (kind, (256, 512)), "upright, and 512 pixels at most"
    assert len(logo.getexif()) == 0
    assert len(body.data) < len(data)


async def test_what_hides_in_or_behind_an_image_is_not_kept(brands: Brands) -> None:
    made, secret = await brands.brand(), b"<script>alert(1)</script>"
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", secret.decode())
    after = await brands.logo(made.brand.id, picture(pnginfo=info) + secret)
    body, _ = await read(brands, after.brand.logo_path)
    assert secret not in body.data
    assert decoded(body).getpixel((0, 0)) == (0, 0, 255)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "L", "1", "P", "I;16", "CMYK"])
async def test_images_of_every_mode_are_taken(brands: Brands, mode: str) -> None:
    out = io.BytesIO()
    kind = "JPEG" if mode == "CMYK" else "PNG"
    Image.new(mode, (10, 10)).save(out, kind)
    after = await brands.logo((await brands.brand()).brand.id, out.getvalue())
    body, _ = await read(brands, after.brand.logo_path)
    assert decoded(body).size == (10, 10)
    assert decoded(body).mode == ("RGBA" if mode in {"RGBA", "LA"} else "RGB")


WHOLE = picture()
ANIMATION = io.BytesIO()
Image.new("P", (4, 4)).save(ANIMATION, "GIF")


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"", "format"),
        (b"not an image", "format"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "format"),
        (ANIMATION.getvalue(), "format"),
        (picture(kind="BMP"), "format"),
        (picture(kind="TIFF"), "format"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "format"),
        (WHOLE[: len(WHOLE) // 2], "format"),
        (WHOLE[:-30], "format"),
        (picture((1_000, 1_000), "JPEG")[:2_000], "format"),
        (bomb(5_001, 5_000), "pixels"),
        (bomb(60_000, 60_000), "pixels"),
        (bomb(2**31 - 1, 1), "pixels"),
        (bytes(MOST_BYTES + 1), "bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)} bytes",
)
async def test_what_is_no_image_or_too_large_is_refused(
    brands: Brands, promos: Promos, data: bytes, rule: str
) -> None:
    made = await brands.brand()
    refused = await refusal(brands.logo(made.brand.id, data))
    assert refused == ("IMAGE_NOT_VALID", grpc.StatusCode.INVALID_ARGUMENT, {"rule": rule})
    assert await brands.get(made.brand.id) == made


@pytest.mark.covers("C6 StoreService.UploadStoreLogo")
async def test_a_store_has_its_brands_logo_until_it_has_its_own(brands: Brands, promos: Promos) -> None:
    brand_id = (await brands.published()).brand.id
    store = await brands.store(brand_id)
    of_brand = (await brands.logo(brand_id, picture())).brand.logo_path
    assert (await brands.get_store(store.store.id)).store.logo_path == of_brand
    own = await _store_logo(brands, store.store.id, promos.admin)
    assert own.store.logo_path not in ("", of_brand)
    assert own.etag != store.etag
    assert await brands.get_store(store.store.id) == own
    emptied = await brands.update_store(store.store.id, clear=["logo"])
    assert emptied.store.logo_path == of_brand
    assert await reason(read(brands, own.store.logo_path)) == "IMAGE_NOT_FOUND"
    cleared = await brands.update(brand_id, clear=["logo"])
    assert cleared.brand.logo_path == ""
    assert (await brands.get_store(store.store.id)).store.logo_path == ""


async def _store_logo(brands: Brands, store_id: str, token: str) -> store_pb2.ManagedStore:
    request = store_pb2.UploadStoreLogoRequest(store_id=store_id, image=httpbody_pb2.HttpBody(data=picture()))
    return (await brands.stores.UploadStoreLogo(request, metadata=bearer(token))).store


@pytest.mark.covers("C6 BrandService.GetLogo")
async def test_another_logo_has_another_path_and_the_old_one_is_gone(brands: Brands, promos: Promos) -> None:
    brand_id = (await brands.brand()).brand.id
    first = (await brands.logo(brand_id, picture())).brand.logo_path
    second = (await brands.logo(brand_id, picture())).brand.logo_path
    assert first != second
    refused = await refusal(read(brands, first))
    assert refused[:2] == ("IMAGE_NOT_FOUND", grpc.StatusCode.NOT_FOUND)
    await read(brands, second)
    assert await reason(read(brands, str(new_id()))) == "IMAGE_NOT_FOUND"
    assert await reason(read(brands, "x")) == "VALIDATION_FAILED"


async def test_who_may_not_change_a_brand_gives_it_no_logo(brands: Brands, promos: Promos) -> None:
    mine, other = await brands.brand(), await brands.brand()
    store = (await brands.store(other.brand.id)).store
    manager = await promos.platform.brand_manager(mine.brand.id)
    assert (await brands.logo(mine.brand.id, picture(), token=manager)).brand.logo_path
    assert await reason(brands.logo(other.brand.id, picture(), token=manager)) == "BRAND_NOT_YOURS"
    assert await reason(_store_logo(brands, store.id, manager)) == "BRAND_NOT_YOURS"
    assert await reason(brands.logo(str(new_id()), picture())) == "BRAND_NOT_FOUND"
    assert await reason(_store_logo(brands, str(new_id()), promos.admin)) == "STORE_NOT_FOUND"
    await brands.archive(other.brand.id)
    assert await reason(brands.logo(other.brand.id, picture())) == "BRAND_ARCHIVED"
    assert await reason(_store_logo(brands, store.id, promos.admin)) == "BRAND_ARCHIVED"


async def test_many_at_once_leave_one_image_and_let_other_calls_through(
    brands: Brands, promos: Promos
) -> None:
    made = await brands.brand()
    done, refused = await at_once(brands.logo(made.brand.id, picture((900, 900))) for _ in range(10))
    assert len(done) + refused["OVERLOADED"] == 10
    kept = await brands.get(made.brand.id)
    await read(brands, kept.brand.logo_path)
    gone = {one.brand.logo_path for one in done} - {kept.brand.logo_path}
    reasons = await asyncio.gather(*(reason(read(brands, path)) for path in gone))
    assert set(reasons) <= {"IMAGE_NOT_FOUND"}
