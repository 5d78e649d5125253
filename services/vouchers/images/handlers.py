"""ImageService: images of vouchers."""

from __future__ import annotations

import hashlib
from uuid import UUID

from google.api import httpbody_pb2
from scrip.vouchers.v1 import image_pb2

from services.common.caller import caller
from services.common.db import Database
from services.common.encoding import Context
from services.common.ids import new_id
from services.common.images import Images
from services.common.storage import Storage
from services.vouchers.catalogue import VoucherImage, find_images, get_voucher
from services.vouchers.catalogue import encoding as catalogue
from services.vouchers.images.commands import add_image, delete_image, reorder_images, require_addable
from services.vouchers.images.files import PIXELS, Size, file_name
from services.vouchers.images.refusals import image_not_found

_FOR_EVER = "public, max-age=31536000, immutable"


class ImageHandlers:
    """Implements ImageService."""

    def __init__(self, db: Database, images: Images, storage: Storage) -> None:
        self._db = db
        self._images = images
        self._storage = storage

    async def UploadVoucherImage(
        self, request: image_pb2.UploadVoucherImageRequest, context: Context
    ) -> image_pb2.UploadVoucherImageResponse:
        """Adds an image to a voucher: first its files, then its name in the voucher's row."""
        voucher_id, data = UUID(request.voucher_id), request.image.data
        digest = hashlib.sha256(data).hexdigest()
        row = await self._db.read(get_voucher, voucher_id)
        if require_addable(row, digest):
            full, thumbnail = await self._images.copies(data, PIXELS["full"], PIXELS["thumbnail"])
            image_id = new_id()
            await self._storage.put(file_name(image_id, "full"), full.data)
            await self._storage.put(file_name(image_id, "thumbnail"), thumbnail.data)
            image = VoucherImage(str(image_id), full.content_type, full.width, full.height, digest)
            row = await self._db.run(add_image, actor=caller(), voucher_id=voucher_id, image=image)
        return image_pb2.UploadVoucherImageResponse(voucher=catalogue.voucher(row))

    async def ReorderVoucherImages(
        self, request: image_pb2.ReorderVoucherImagesRequest, context: Context
    ) -> image_pb2.ReorderVoucherImagesResponse:
        """Puts images into another order."""
        row = await self._db.run(
            reorder_images,
            actor=caller(),
            voucher_id=UUID(request.voucher_id),
            etag=request.etag,
            image_ids=[UUID(image_id) for image_id in request.image_ids],
        )
        return image_pb2.ReorderVoucherImagesResponse(voucher=catalogue.voucher(row))

    async def DeleteVoucherImage(
        self, request: image_pb2.DeleteVoucherImageRequest, context: Context
    ) -> image_pb2.DeleteVoucherImageResponse:
        """Removes an image."""
        row = await self._db.run(
            delete_image,
            actor=caller(),
            voucher_id=UUID(request.voucher_id),
            etag=request.etag,
            image_id=UUID(request.image_id),
        )
        return image_pb2.DeleteVoucherImageResponse(voucher=catalogue.voucher(row))

    async def GetImage(self, request: image_pb2.GetImageRequest, context: Context) -> httpbody_pb2.HttpBody:
        """Returns an image, which never changes and anybody may cache."""
        image_id = UUID(request.image_id)
        size: Size = "thumbnail" if request.size == image_pb2.IMAGE_SIZE_THUMBNAIL else "full"
        found = await self._db.read(find_images, [str(image_id)])
        data = await self._storage.get(file_name(image_id, size)) if found else None
        if data is None:
            raise image_not_found(image_id)
        await context.send_initial_metadata(
            (("cache-control", _FOR_EVER), ("etag", f'"{file_name(image_id, size)}"'))
        )
        return httpbody_pb2.HttpBody(content_type=found[0].content_type, data=data)
