"""Images of vouchers: what becomes of what is sent, their order, and that no file is missed or left."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.api import httpbody_pb2
from PIL import Image
from scrip.vouchers.v1 import (
    catalogue_pb2,
    catalogue_pb2_grpc,
    image_pb2,
    image_pb2_grpc,
    shop_pb2,
    shop_pb2_grpc,
    wallet_pb2,
    wallet_pb2_grpc,
)

from services.common.errors import unavailable
from services.common.ids import new_id
from services.common.storage.folder import Folder
from services.vouchers.images.sweeping import sweep_files
from services.vouchers.tests.support import Create, Earn, Order, without_codes
from tests.inprocess import Platform, bearer, reason, refusal

ORIENTATION = 0x0112


def picture(
    colour: str = "red", size: tuple[int, int] = (64, 48), kind: str = "PNG", **options: Any
) -> bytes:
    """Returns an image of one colour."""
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, kind, **options)
    return out.getvalue()


class Staff:
    """Gives vouchers images as an admin does, and reads them as everybody does."""

    def __init__(self, platform: Platform, token: str) -> None:
        channel = platform.channels["vouchers"]
        self.stub = image_pb2_grpc.ImageServiceStub(channel)
        self.catalogue = catalogue_pb2_grpc.CatalogueServiceStub(channel)
        self._metadata = bearer(token)

    async def upload(self, voucher_id: str, data: bytes) -> catalogue_pb2.Voucher:
        request = image_pb2.UploadVoucherImageRequest(
            voucher_id=voucher_id, image=httpbody_pb2.HttpBody(data=data)
        )
        return (await self.stub.UploadVoucherImage(request, metadata=self._metadata)).voucher

    async def reorder(self, voucher_id: str, ids: Sequence[str], etag: str = "") -> catalogue_pb2.Voucher:
        request = image_pb2.ReorderVoucherImagesRequest(voucher_id=voucher_id, image_ids=ids, etag=etag)
        return (await self.stub.ReorderVoucherImages(request, metadata=self._metadata)).voucher

    async def delete(self, voucher_id: str, image_id: str, etag: str = "") -> catalogue_pb2.Voucher:
        request = image_pb2.DeleteVoucherImageRequest(voucher_id=voucher_id, image_id=image_id, etag=etag)
        return (await self.stub.DeleteVoucherImage(request, metadata=self._metadata)).voucher

    async def archive(self, voucher_id: str) -> None:
        request = catalogue_pb2.ArchiveVoucherRequest(voucher_id=voucher_id)
        await self.catalogue.ArchiveVoucher(request, metadata=self._metadata)

    async def read(self, image_id: str, size: str = "FULL") -> tuple[Image.Image, str, dict[str, Any]]:
        request = image_pb2.GetImageRequest(
            image_id=image_id, size=image_pb2.ImageSize.Value(f"IMAGE_SIZE_{size}")
        )
        call = self.stub.GetImage(request)
        body = await call
        return Image.open(io.BytesIO(body.data)), body.content_type, dict(await call.initial_metadata())


@pytest.fixture
async def staff(platform: Platform) -> Staff:
    return Staff(platform, await platform.admin())


@pytest.mark.covers("V1 ImageService.UploadVoucherImage", "V1 ImageService.GetImage")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
async def test_an_image_is_kept_upright_and_without_metadata_and_anybody_reads_it(
    platform: Platform, create: Create, staff: Staff, kind: str
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # to be turned by a quarter
    voucher = await create()
    after = await staff.upload(voucher.id, picture(size=(2_400, 1_200), kind=kind, exif=exif.tobytes()))
    (image,) = after.images
    content_type = f"image/{kind.lower()}"
    assert (image.width, image.height, image.content_type) == (1_024, 2_048, content_type)
    assert after.etag != voucher.etag
    for size, pixels in (("FULL", (1_024, 2_048)), ("THUMBNAIL", (160, 320))):
        kept, kept_type, headers = await staff.read(image.id, size)
        assert (kept.format, kept.size, kept_type) == (kind, pixels, content_type)
        assert len(kept.getexif()) == 0
        assert headers["cache-control"] == "public, max-age=31536000, immutable"
        assert headers["etag"] == f'"{image.id}.{size.lower()}"'
    assert image.path == f"/v1/images/{image.id}"
    assert image.thumbnail_path == f"/v1/images/{image.id}?size=IMAGE_SIZE_THUMBNAIL"
    shop = shop_pb2_grpc.ShopServiceStub(platform.channels["vouchers"])
    offer = (await shop.GetOffer(shop_pb2.GetOfferRequest(voucher_id=voucher.id))).offer
    assert list(offer.images) == [image]


@pytest.mark.covers("V1 ImageService.ReorderVoucherImages", "V1 ImageService.DeleteVoucherImage")
async def test_images_are_ordered_and_deleted(create: Create, staff: Staff) -> None:
    before = voucher = await create()
    for colour in ("red", "green", "blue"):
        before = await staff.upload(voucher.id, picture(colour))
    assert await staff.upload(voucher.id, picture("green")) == before, "it was sent already"
    red, green, blue = (image.id for image in before.images)
    assert await staff.reorder(voucher.id, [red, green, blue]) == before
    for others in ([red, green], [red, green, str(new_id())], []):
        assert await reason(staff.reorder(voucher.id, others)) == "IMAGES_DIFFER"
    assert await reason(staff.reorder(voucher.id, [blue, red, green], voucher.etag)) == "ETAG_MISMATCH"
    ordered = await staff.reorder(voucher.id, [blue, red, green], before.etag)
    assert [image.id for image in ordered.images] == [blue, red, green]
    assert await reason(staff.delete(voucher.id, red, before.etag)) == "ETAG_MISMATCH"
    deleted = await staff.delete(voucher.id, red, ordered.etag)
    assert [image.id for image in deleted.images] == [blue, green]
    assert await reason(staff.delete(voucher.id, red)) == "IMAGE_NOT_FOUND"
    refused = await refusal(staff.read(red))
    assert refused[:2] == ("IMAGE_NOT_FOUND", grpc.StatusCode.NOT_FOUND)
    await staff.read(blue)


async def test_a_wallet_shows_the_first_image(
    platform: Platform, create: Create, staff: Staff, earn: Earn, order: Order
) -> None:
    voucher, member = await create(), await platform.member()
    after = await staff.upload(voucher.id, picture())
    await earn(member, 500)
    await order(member, voucher.id)
    wallet = wallet_pb2_grpc.WalletServiceStub(platform.channels["vouchers"])
    reply = await wallet.ListMyVouchers(wallet_pb2.ListMyVouchersRequest(), metadata=bearer(member.token))
    assert [one.thumbnail_path for one in reply.vouchers] == [after.images[0].thumbnail_path]


async def test_a_voucher_has_ten_images_at_most_and_an_archived_one_stays(
    create: Create, staff: Staff
) -> None:
    after = voucher = await create()
    for shade in range(10):
        after = await staff.upload(voucher.id, picture(f"#0000{shade:02x}", (4, 4)))
    refused = await refusal(staff.upload(voucher.id, picture()))
    assert refused == ("TOO_MANY_IMAGES", grpc.StatusCode.FAILED_PRECONDITION, {"limit": "10"})
    await staff.archive(voucher.id)
    image_id = after.images[0].id
    assert await reason(staff.upload(voucher.id, picture())) == "VOUCHER_ARCHIVED"
    assert await reason(staff.delete(voucher.id, image_id)) == "VOUCHER_ARCHIVED"
    assert await reason(staff.reorder(voucher.id, [image_id])) == "VOUCHER_ARCHIVED"
    assert await reason(staff.upload(str(new_id()), picture())) == "VOUCHER_NOT_FOUND"
    await staff.read(image_id)


async def test_what_is_no_picture_is_refused(create: Create, staff: Staff) -> None:
    voucher = await create()
    refused = await refusal(staff.upload(voucher.id, b"<svg xmlns='http://www.w3.org/2000/svg'/>"))
    assert refused == ("IMAGE_NOT_VALID", grpc.StatusCode.INVALID_ARGUMENT, {"rule": "format"})
    reply = await staff.catalogue.GetVoucher(
        catalogue_pb2.GetVoucherRequest(voucher_id=voucher.id), metadata=staff._metadata
    )
    assert without_codes(reply.voucher) == without_codes(voucher)


async def test_files_that_no_voucher_names_are_swept_and_others_stay(
    platform: Platform, create: Create, staff: Staff
) -> None:
    folder = Path(platform.settings["vouchers"].image_folder)
    storage, db = Folder(folder), platform.databases["vouchers"]
    voucher = await create()
    await staff.upload(voucher.id, picture("red"))
    kept, gone = (await staff.upload(voucher.id, picture("blue"))).images
    await staff.delete(voucher.id, gone.id)
    (folder / "unfinished.0123").write_bytes(b"half")
    assert (folder / f"{gone.id}.full").exists(), "a reader may be at it"
    await sweep_files(db, storage)
    assert (folder / f"{gone.id}.full").exists(), "it is not old"
    await sweep_files(db, storage, age=timedelta(seconds=-60))
    left = _names(folder)
    assert {f"{kept.id}.full", f"{kept.id}.thumbnail"} <= left
    assert not left & {f"{gone.id}.full", f"{gone.id}.thumbnail", "unfinished.0123"}
    await staff.read(kept.id)


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_an_upload_that_can_not_be_kept_changes_nothing_and_can_be_repeated(
    create: Create, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    voucher, put = await create(), Folder.put

    async def away(storage: Folder, name: str, data: bytes) -> None:
        if name.endswith(".thumbnail"):
            raise unavailable("storage")
        await put(storage, name, data)

    with monkeypatch.context() as patched:
        patched.setattr(Folder, "put", away)
        assert await reason(staff.upload(voucher.id, picture())) == "DEPENDENCY_UNAVAILABLE"
    request = catalogue_pb2.GetVoucherRequest(voucher_id=voucher.id)
    reply = await staff.catalogue.GetVoucher(request, metadata=staff._metadata)
    assert without_codes(reply.voucher) == without_codes(voucher)
    assert len((await staff.upload(voucher.id, picture())).images) == 1
