"""Why a discount or a claim is refused."""

from __future__ import annotations

from uuid import UUID

from services.common.errors import DomainError
from services.common.members import SUSPENDED


def discount_not_found(discount_id: UUID) -> DomainError:
    """No such discount of this brand; for members also a draft, or one of a brand that is not published.

    For those who read what can be claimed now, one that can not.
    """
    return DomainError("DISCOUNT_NOT_FOUND", "no such discount", discount_id=discount_id)


def discount_ended(discount_id: UUID) -> DomainError:
    """A discount that has ended stays so."""
    return DomainError("DISCOUNT_ENDED", "the discount has ended for good", discount_id=discount_id)


def discount_not_open(discount_id: UUID) -> DomainError:
    """The discount is paused, has ended, or its time has not come or is over."""
    return DomainError("DISCOUNT_NOT_OPEN", "the discount can not be claimed now", discount_id=discount_id)


def discount_not_ready(discount_id: UUID) -> DomainError:
    """No code of the discount is ready, but some are being made."""
    return DomainError(
        "DISCOUNT_NOT_READY",
        "codes are still being made; try again in a moment",
        retry_after=1.0,
        discount_id=discount_id,
    )


def discount_sold_out(discount_id: UUID) -> DomainError:
    """All codes of the discount are claimed."""
    return DomainError("DISCOUNT_SOLD_OUT", "all codes of this discount are claimed", discount_id=discount_id)


def consent_required() -> DomainError:
    """The member has not agreed to share contact data with brands."""
    return DomainError("CONSENT_REQUIRED", "agree to share your contact data with brands first")


def already_claimed(claim_id: UUID) -> DomainError:
    """The member has a code of this discount, claimed with another key."""
    return DomainError("ALREADY_CLAIMED", "you have a code of this discount", claim_id=claim_id)


def claim_not_found(claim_id: UUID) -> DomainError:
    """No such claim, or another member's."""
    return DomainError("CLAIM_NOT_FOUND", "no such claim", claim_id=claim_id)


def account_not_active(status: str) -> DomainError:
    """Staff suspended the member's account, or it is gone for good."""
    if status == SUSPENDED:
        return DomainError("ACCOUNT_SUSPENDED", "the account is suspended")
    return DomainError("ACCOUNT_CLOSED", "the account is closed")
