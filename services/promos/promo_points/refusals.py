"""Why promo points are refused."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from services.common.errors import DomainError


def promo_not_found(promo_id: UUID) -> DomainError:
    """No such promo, or another member's."""
    return DomainError("PROMO_NOT_FOUND", "no such promo", promo_id=promo_id)


def promo_deleted(promo_id: UUID) -> DomainError:
    """The promo was deleted."""
    return DomainError("PROMO_DELETED", "the promo was deleted", promo_id=promo_id)


def promo_not_active(promo_id: UUID) -> DomainError:
    """Staff have switched the promo off."""
    return DomainError("PROMO_NOT_ACTIVE", "the promo is not active", promo_id=promo_id)


def promo_not_started(promo_id: UUID, starts_at: datetime) -> DomainError:
    """The promo's window has not begun."""
    moment = _text(starts_at)
    return DomainError(
        "PROMO_NOT_STARTED", f"the promo starts at {moment}", promo_id=promo_id, starts_at=moment
    )


def promo_expired(promo_id: UUID, ended_at: datetime) -> DomainError:
    """The promo's window is over."""
    moment = _text(ended_at)
    return DomainError("PROMO_EXPIRED", f"the promo ended at {moment}", promo_id=promo_id, ended_at=moment)


def promo_points_insufficient(remaining: int) -> DomainError:
    """Fewer promo points are left than are to be used."""
    return DomainError(
        "PROMO_POINTS_INSUFFICIENT", f"{remaining} promo points are left", remaining=str(remaining)
    )


def amount_below_used(promo_id: UUID, used: int) -> DomainError:
    """More of the promo is used already than it shall have."""
    return DomainError(
        "PROMO_AMOUNT_BELOW_USED", f"{used} are used already", promo_id=promo_id, used=str(used)
    )


def promo_use_conflict(promo_use_id: UUID) -> DomainError:
    """The sale used promo points already, of another member or another number."""
    return DomainError(
        "PROMO_USE_CONFLICT", "the sale used other promo points already", promo_use_id=promo_use_id
    )


def promo_use_cancelled(promo_use_id: UUID) -> DomainError:
    """What the sale used was given back."""
    message = "what this sale used was given back; a new sale needs a new reference"
    return DomainError("PROMO_USE_CANCELLED", message, promo_use_id=promo_use_id)


def promo_use_not_found(promo_use_id: UUID) -> DomainError:
    """No such use, or that of another till."""
    return DomainError("PROMO_USE_NOT_FOUND", "no such use of promo points", promo_use_id=promo_use_id)


def member_code_replayed() -> DomainError:
    """The signed code was shown for another sale."""
    return DomainError("MEMBER_CODE_REPLAYED", "the member's code was used for another sale")


def _text(moment: datetime) -> str:
    """Returns a moment as RFC 3339 has it, in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
