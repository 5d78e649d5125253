"""Adding, ordering and removing images of vouchers."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from services.common import audit
from services.common.caller import Caller
from services.common.db import Connection
from services.common.etags import require_etag
from services.vouchers.catalogue import (
    VoucherImage,
    VoucherRow,
    images_of,
    lock_voucher,
    set_images,
    voucher_archived,
)
from services.vouchers.images.refusals import MOST_IMAGES, image_not_found, images_differ, too_many_images


def require_addable(row: VoucherRow, digest: str) -> bool:
    """Returns whether an image is to be added to a voucher: not one that was sent for it already.

    Raises VOUCHER_ARCHIVED and TOO_MANY_IMAGES.
    """
    if row.state == "ARCHIVED":
        raise voucher_archived(row.id)
    images = images_of(row)
    if any(image.digest == digest for image in images):
        return False
    if len(images) >= MOST_IMAGES:
        raise too_many_images()
    return True


async def add_image(
    connection: Connection, *, actor: Caller, voucher_id: UUID, image: VoucherImage
) -> VoucherRow:
    """Adds an image behind those that a voucher has, and returns the voucher.

    Raises VOUCHER_NOT_FOUND, VOUCHER_ARCHIVED and TOO_MANY_IMAGES.
    """
    before = await lock_voucher(connection, voucher_id)
    if not require_addable(before, image.digest):
        return before
    after = await set_images(connection, voucher_id, [*images_of(before), image])
    await audit.record(connection, actor, "voucher.image_added", voucher_id, image_id=image.id)
    return after


async def reorder_images(
    connection: Connection, *, actor: Caller, voucher_id: UUID, etag: str, image_ids: Sequence[UUID]
) -> VoucherRow:
    """Puts all images of a voucher into this order, and returns the voucher.

    Where the order is the same, nothing changes. Raises VOUCHER_NOT_FOUND, ETAG_MISMATCH, VOUCHER_ARCHIVED,
    and IMAGES_DIFFER for ids that are not those of all its images.
    """
    before, images = await _locked(connection, voucher_id, etag)
    by_id = {image.id: image for image in images}
    wanted = [str(image_id) for image_id in image_ids]
    if sorted(wanted) != sorted(by_id):
        raise images_differ(voucher_id)
    if wanted == list(by_id):
        return before
    after = await set_images(connection, voucher_id, [by_id[image_id] for image_id in wanted])
    await audit.record(connection, actor, "voucher.images_reordered", voucher_id)
    return after


async def delete_image(
    connection: Connection, *, actor: Caller, voucher_id: UUID, etag: str, image_id: UUID
) -> VoucherRow:
    """Removes an image from a voucher, and returns the voucher. Its files are swept later.

    Raises VOUCHER_NOT_FOUND, ETAG_MISMATCH, VOUCHER_ARCHIVED and IMAGE_NOT_FOUND.
    """
    _, images = await _locked(connection, voucher_id, etag)
    kept = [image for image in images if image.id != str(image_id)]
    if len(kept) == len(images):
        raise image_not_found(image_id)
    after = await set_images(connection, voucher_id, kept)
    await audit.record(connection, actor, "voucher.image_deleted", voucher_id, image_id=str(image_id))
    return after


async def _locked(
    connection: Connection, voucher_id: UUID, etag: str
) -> tuple[VoucherRow, Sequence[VoucherImage]]:
    row = await lock_voucher(connection, voucher_id)
    require_etag(etag, row.etag, of="voucher")
    if row.state == "ARCHIVED":
        raise voucher_archived(voucher_id)
    return row, images_of(row)
