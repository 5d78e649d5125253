"""Removing files that no voucher names: of images that were deleted, and of uploads that failed."""

from __future__ import annotations

from datetime import timedelta

from services.common.db import Database
from services.common.storage import Storage
from services.vouchers.catalogue import find_images
from services.vouchers.images.files import image_id_of

FILES_SECONDS = 3_600
_OLD = timedelta(hours=1)
"""Within this an upload has named its files, or failed, however the clocks of machines differ."""


async def sweep_files(db: Database, storage: Storage, *, age: timedelta = _OLD) -> None:
    """Removes old files without an image, some at a time."""
    async for names in storage.older_than(age):
        kept = {image.id for image in await db.read(find_images, {image_id_of(name) for name in names})}
        await storage.delete([name for name in names if image_id_of(name) not in kept])
