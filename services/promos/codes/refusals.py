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
    """The code is on offer as a gift, or its owner is suspended or gone; which, a till need not know."""
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


def gift_ended(gift_id: UUID) -> DomainError:
    """The gift has returned to its giver."""
    return DomainError("GIFT_ENDED", "the gift has returned to its giver", gift_id=gift_id)


def gift_accepted(gift_id: UUID) -> DomainError:
    """The gift was accepted."""
    return DomainError("GIFT_ACCEPTED", "the gift was accepted", gift_id=gift_id)


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


def code_set_has_owner(code_set_id: UUID, purpose: str) -> DomainError:
    """The set changes with the voucher, campaign or discount that it belongs to."""
    return DomainError(
        "CODE_SET_HAS_OWNER",
        f"the set changes with its {purpose.lower()}",
        code_set_id=code_set_id,
        purpose=purpose,
    )


def code_set_has_codes(code_set_id: UUID) -> DomainError:
    """What codes promise stays."""
    return DomainError(
        "CODE_SET_HAS_CODES", "the set has codes, which promise benefit and uses", code_set_id=code_set_id
    )


def code_set_quantity_too_small(code_set_id: UUID, least: int) -> DomainError:
    """Codes that are made stay."""
    return DomainError(
        "CODE_SET_QUANTITY_TOO_SMALL",
        f"the set has {least} codes already",
        code_set_id=code_set_id,
        least_quantity=least,
    )


def code_pattern_too_small(pattern: str, possible: int, largest: int) -> DomainError:
    """Strangers would guess codes of this pattern."""
    return DomainError(
        "CODE_PATTERN_TOO_SMALL",
        f"of {pattern} there are {possible} codes, which is room for {largest} here",
        pattern=pattern,
        possible_codes=possible,
        largest_quantity=largest,
    )


def code_set_wrong_purpose(code_set_id: UUID, purpose: str) -> DomainError:
    """The codes of the set are given out in another way."""
    return DomainError(
        "CODE_SET_WRONG_PURPOSE",
        "this can not be done with the codes of such a set",
        code_set_id=code_set_id,
        purpose=purpose,
    )


def code_set_full(code_set_id: UUID) -> DomainError:
    """The set would have more codes than a set may have."""
    return DomainError(
        "CODE_SET_FULL", "the set would have more than 10,000,000 codes", code_set_id=code_set_id
    )


def _text(moment: datetime) -> str:
    """Returns a moment as RFC 3339 has it, in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
