"""Which brands a caller may act for. Knows no table: a brand manager's token carries its brand."""

from __future__ import annotations

from uuid import UUID

from services.common.caller import BRAND_MANAGER, Caller
from services.common.errors import DomainError


def require_own_brand(who: Caller, brand_id: UUID | None) -> None:
    """Raises BRAND_NOT_YOURS for a brand manager who acts for another brand, or for none.

    Other callers may act for every brand that their permission lets them.
    """
    if who.role == BRAND_MANAGER and (brand_id is None or who.brand_id != brand_id):
        raise DomainError("BRAND_NOT_YOURS", "this belongs to another brand, or to the retailer")


def only_brand(who: Caller) -> UUID | None:
    """Returns the brand that lists are narrowed to: a brand manager's own; None for others, who see all.

    Raises BRAND_NOT_YOURS for a brand manager without a brand.
    """
    if who.role != BRAND_MANAGER:
        return None
    require_own_brand(who, who.brand_id)
    return who.brand_id
