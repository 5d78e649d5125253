"""Why a gift is refused."""

from __future__ import annotations

from uuid import UUID

from services.common.errors import DomainError


def gift_not_allowed(voucher_id: UUID) -> DomainError:
    """The voucher is for its buyer alone."""
    return DomainError("GIFT_NOT_ALLOWED", "this voucher is for its buyer alone", voucher_id=voucher_id)


def gift_to_oneself() -> DomainError:
    """The recipient's number is the giver's."""
    return DomainError("GIFT_TO_ONESELF", "this is your own phone number")


def recipient_limit_reached(*, limit: int, ordered: int) -> DomainError:
    """More pieces of the voucher would be given to the same person than one may be given."""
    return DomainError(
        "RECIPIENT_LIMIT_REACHED",
        f"{limit} of this voucher may be given to one person, and {ordered} are ordered",
        limit=limit,
        ordered=ordered,
    )


def gift_not_found(gift_id: UUID) -> DomainError:
    """There is no such gift, or none that the caller may see."""
    return DomainError("GIFT_NOT_FOUND", "no such gift", gift_id=gift_id)


def gift_ended(gift_id: UUID) -> DomainError:
    """The gift has returned to its giver, or is about to."""
    return DomainError("GIFT_ENDED", "the gift has returned to its giver", gift_id=gift_id)


def gift_accepted(gift_id: UUID) -> DomainError:
    """The gift was accepted."""
    return DomainError("GIFT_ACCEPTED", "the gift was accepted", gift_id=gift_id)
