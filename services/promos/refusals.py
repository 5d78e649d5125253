"""Refusals that several commands and queries share."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from services.common.errors import DomainError


def code_not_valid() -> DomainError:
    """No such code, or not for this caller: the two must not be told apart."""
    return DomainError("CODE_NOT_VALID", "the code is not valid")


def code_void(code_id: UUID) -> DomainError:
    """The code was withdrawn."""
    return DomainError("CODE_VOID", "the code was withdrawn", code_id=code_id)


def code_already_used(code_id: UUID, redeemed_at: datetime) -> DomainError:
    """The code was redeemed as often as it allows, the last time at `redeemed_at`."""
    moment = _text(redeemed_at)
    return DomainError(
        "CODE_ALREADY_USED", f"the code was redeemed at {moment}", code_id=code_id, redeemed_at=moment
    )


def code_expired(code_id: UUID, expired_at: datetime) -> DomainError:
    """The code's time is over."""
    moment = _text(expired_at)
    return DomainError("CODE_EXPIRED", f"the code expired at {moment}", code_id=code_id, expired_at=moment)


def redemption_not_found(redemption_id: UUID) -> DomainError:
    """No such redemption, or that of another till."""
    return DomainError("REDEMPTION_NOT_FOUND", "no such redemption", redemption_id=redemption_id)


def order_undone(order_id: UUID) -> DomainError:
    """The order was undone for ever."""
    return DomainError("ORDER_UNDONE", "the order was undone", order_id=order_id)


def campaign_not_found(campaign_id: UUID) -> DomainError:
    """No such campaign."""
    return DomainError("CAMPAIGN_NOT_FOUND", "no such campaign", campaign_id=campaign_id)


def _text(moment: datetime) -> str:
    """A moment as RFC 3339 has it, in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
