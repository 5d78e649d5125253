"""Why receipts and purchases are refused."""

from __future__ import annotations

from uuid import UUID

from services.common.errors import DomainError


def member_code_unknown() -> DomainError:
    """No member has the code."""
    return DomainError("MEMBER_CODE_UNKNOWN", "no member has this code")


def member_code_replayed() -> DomainError:
    """The signed code came with another receipt before."""
    return DomainError("MEMBER_CODE_REPLAYED", "the code was used on another receipt; scan a new one")


def total_mismatch(total_minor: int, sum_minor: int) -> DomainError:
    """The receipt's lines do not add up to its total."""
    message = f"the items add up to {sum_minor}, not to {total_minor}"
    return DomainError("TOTAL_MISMATCH", message, total_minor=total_minor, sum_minor=sum_minor)


def receipt_conflict(receipt_number: str, purchase_id: UUID) -> DomainError:
    """The receipt was recorded before, as this purchase, with other content."""
    return DomainError(
        "RECEIPT_CONFLICT",
        f"receipt {receipt_number} was recorded before with other content",
        receipt_number=receipt_number,
        purchase_id=purchase_id,
    )


def purchase_not_found() -> DomainError:
    """There is no such purchase, or it is not the caller's to see."""
    return DomainError("PURCHASE_NOT_FOUND", "there is no such purchase")
