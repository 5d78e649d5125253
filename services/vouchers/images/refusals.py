"""Why images are not as somebody wants them."""

from __future__ import annotations

from uuid import UUID

from services.common.errors import DomainError

MOST_IMAGES = 10
"""Images of one voucher."""


def image_not_found(image_id: UUID) -> DomainError:
    """No such image."""
    return DomainError("IMAGE_NOT_FOUND", "no such image", image_id=image_id)


def too_many_images() -> DomainError:
    """The voucher has as many images as it may have."""
    return DomainError("TOO_MANY_IMAGES", f"a voucher has {MOST_IMAGES} images at most", limit=MOST_IMAGES)


def images_differ(voucher_id: UUID) -> DomainError:
    """The ids are not those of the voucher's images."""
    return DomainError("IMAGES_DIFFER", "name each image of the voucher once", voucher_id=voucher_id)
