"""Why a code, a redemption or an order's codes are refused."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from services.common.errors import DomainError


def code_not_valid() -> DomainError:
    """No such code, or not for this caller: the two must look alike."""
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


def code_not_yet_valid(code_id: UUID, valid_from: datetime) -> DomainError:
    """The code's time has not begun."""
    moment = _text(valid_from)
    return DomainError(
        "CODE_NOT_YET_VALID", f"the code is valid from {moment}", code_id=code_id, valid_from=moment
    )


def code_set_disabled(code_id: UUID) -> DomainError:
    """The codes of its set are switched off."""
    return DomainError("CODE_SET_DISABLED", "codes of this kind are switched off", code_id=code_id)


def code_on_hold(code_id: UUID) -> DomainError:
    """The code's owner is suspended or gone; which, a till need not know."""
    return DomainError("CODE_ON_HOLD", "the code can not be used at present", code_id=code_id)


def code_member_limit(code_id: UUID, uses_per_member: int) -> DomainError:
    """The member has redeemed codes of this set as often as it may."""
    return DomainError(
        "CODE_MEMBER_LIMIT",
        f"a member may redeem such codes {uses_per_member} times",
        code_id=code_id,
        uses_per_member=uses_per_member,
    )


def member_required(code_id: UUID) -> DomainError:
    """Whose use of the code it is must be known."""
    return DomainError("MEMBER_REQUIRED", "this code takes a member's code with it", code_id=code_id)


def basket_required(code_id: UUID) -> DomainError:
    """The code has conditions, so it is redeemed with its basket."""
    return DomainError(
        "BASKET_REQUIRED", "this code has conditions: redeem it with its basket", code_id=code_id
    )


def redemption_conflict(redemption_id: UUID) -> DomainError:
    """The code was redeemed for this sale with another basket."""
    return DomainError(
        "REDEMPTION_CONFLICT",
        "the code was redeemed for this sale with another basket",
        redemption_id=redemption_id,
    )


def redemption_too_old(redemption_id: UUID, cancellable_until: datetime) -> DomainError:
    """The redemption is too old to be taken back."""
    moment = _text(cancellable_until)
    return DomainError(
        "REDEMPTION_TOO_OLD",
        f"the redemption could be cancelled until {moment}",
        redemption_id=redemption_id,
        cancellable_until=moment,
    )


def redemption_not_found(redemption_id: UUID) -> DomainError:
    """No such redemption, or that of another till."""
    return DomainError("REDEMPTION_NOT_FOUND", "no such redemption", redemption_id=redemption_id)


def redemption_cancelled(redemption_id: UUID) -> DomainError:
    """The sale's redemption was taken back."""
    return DomainError(
        "REDEMPTION_CANCELLED",
        "this sale's redemption was cancelled; a new sale needs a new reference",
        redemption_id=redemption_id,
    )


def order_undone(order_id: UUID) -> DomainError:
    """The order was undone for ever."""
    return DomainError("ORDER_UNDONE", "the order was undone", order_id=order_id)


def order_codes_used(order_id: UUID) -> DomainError:
    """A code of the order was used, so the order can not be undone."""
    return DomainError("ORDER_CODES_USED", "a code of the order was used", order_id=order_id)


def assignment_conflict(order_id: UUID) -> DomainError:
    """The order came before for another member, set or quantity."""
    return DomainError("ASSIGNMENT_CONFLICT", "the order has other codes already", order_id=order_id)


def code_set_not_found(code_set_id: UUID) -> DomainError:
    """No such set of codes, or not yet."""
    return DomainError("CODE_SET_NOT_FOUND", "no such set of codes", code_set_id=code_set_id)


def codes_not_ready(code_set_id: UUID) -> DomainError:
    """The set has fewer codes ready than are wanted; the others are being made."""
    return DomainError(
        "CODES_NOT_READY", "codes are still being made; ask again", retry_after=1.0, code_set_id=code_set_id
    )


def code_set_conflict(code_set_id: UUID) -> DomainError:
    """A set keeps the benefit and the expiry that it was made with."""
    return DomainError(
        "CODE_SET_CONFLICT", "the set exists with another benefit or expiry", code_set_id=code_set_id
    )


def _text(moment: datetime) -> str:
    """Returns a moment as RFC 3339 has it, in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
