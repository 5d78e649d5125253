"""Why claims are refused."""

from __future__ import annotations

from datetime import UTC, datetime

from services.common.errors import DomainError


def purchase_claimed() -> DomainError:
    """The purchase is another member's."""
    return DomainError("PURCHASE_CLAIMED", "the purchase is another member's already")


def claim_expired(claim_until: datetime) -> DomainError:
    """The purchase can not be claimed any more."""
    until = claim_until.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return DomainError("CLAIM_EXPIRED", f"it could be claimed until {until}", claim_until=until)


def claim_code_not_valid() -> DomainError:
    """There is no such claim code, or somebody else used it."""
    return DomainError("CLAIM_CODE_NOT_VALID", "there is no receipt for you with this code")
