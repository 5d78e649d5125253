"""Why a call about brands and stores is refused."""

from __future__ import annotations

from uuid import UUID

from services.common.errors import DomainError

MOST_STORES = 10_000
"""Stores of one brand: a change of the brand is made to all of them in one transaction."""


def brand_not_found(brand_id: UUID) -> DomainError:
    """No such brand, or none that is published."""
    return DomainError("BRAND_NOT_FOUND", "no such brand", brand_id=brand_id)


def brand_archived(brand_id: UUID) -> DomainError:
    """A brand that was put away stays as it is."""
    return DomainError("BRAND_ARCHIVED", "the brand is archived for good", brand_id=brand_id)


def store_not_found(store_id: UUID) -> DomainError:
    """No such store, or none of a published brand."""
    return DomainError("STORE_NOT_FOUND", "no such store", store_id=store_id)


def too_many_stores() -> DomainError:
    """The brand has as many stores as it may have."""
    return DomainError("TOO_MANY_STORES", f"a brand has {MOST_STORES} stores at most", limit=MOST_STORES)


def image_not_found(image_id: UUID) -> DomainError:
    """No such image."""
    return DomainError("IMAGE_NOT_FOUND", "no such image", image_id=image_id)
