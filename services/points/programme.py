"""What the retailer decided: currency, time zone, expiry, claims, and what a refund of spent points does."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from zoneinfo import ZoneInfo

from services.common.currencies import currency_not_supported
from services.common.errors import DomainError
from services.common.line_totals import MAX_TOTAL_MINOR, receipt_too_large

MAX_POINTS = 2**31 - 1
MAX_AGE = timedelta(days=30)
CLOCK_LEEWAY = timedelta(minutes=2)
"""How far ahead a till's clock may be, and how far behind when it scans a code made a moment ago."""


class RefundPolicy(Enum):
    """What happens when a refund takes back points that were spent."""

    NEGATIVE_BALANCE = "negative_balance"
    """The balance goes below zero, down to a floor; what is beyond is given up."""
    DEBT = "debt"
    """The balance stays at zero; the rest is owed, and what is earned next pays it."""


@dataclass(frozen=True, slots=True)
class PointValue:
    """What points are worth: so many of them so many minor units of the currency."""

    points: int
    amount_minor: int
    currency_code: str

    def of(self, balance: int) -> int:
        """Returns what a balance is worth, in minor units, rounded down; 0 when it is below zero."""
        return max(balance, 0) * self.amount_minor // self.points


@dataclass(frozen=True)
class Programme:
    """The retailer's decisions. `expire_months` of 0 is never; `balance_floor` is 0 or less."""

    currency_code: str
    time_zone: ZoneInfo
    expire_months: int
    claim_days: int
    refund_policy: RefundPolicy
    balance_floor: int

    def refusal(
        self, *, currency_code: str, sold_at: datetime, total_minor: int, points: int, now: datetime
    ) -> DomainError | None:
        """Returns why a receipt can not be recorded, or None.

        CURRENCY_NOT_SUPPORTED, SALE_TIME_OUT_OF_RANGE, RECEIPT_TOO_LARGE or BALANCE_LIMIT_REACHED.
        """
        earliest, latest = now - MAX_AGE, now + CLOCK_LEEWAY
        if currency_code == self.currency_code and not earliest <= sold_at <= latest:
            return DomainError(
                "SALE_TIME_OUT_OF_RANGE",
                f"sold_at must lie between {_rfc3339(earliest)} and {_rfc3339(latest)}",
                earliest=_rfc3339(earliest),
                latest=_rfc3339(latest),
            )
        return self.refusal_of_amounts(currency_code=currency_code, total_minor=total_minor, points=points)

    def refusal_of_amounts(self, *, currency_code: str, total_minor: int, points: int) -> DomainError | None:
        """Returns why a receipt could be recorded at no time, or None."""
        if currency_code != self.currency_code:
            return currency_not_supported(currency_code, self.currency_code, of="receipts")
        if total_minor > MAX_TOTAL_MINOR:
            return receipt_too_large()
        return balance_limit_reached() if points > MAX_POINTS else None

    def require_refund_time(self, refunded_at: datetime, *, sold_at: datetime, now: datetime) -> None:
        """Raises REFUND_TIME_OUT_OF_RANGE when goods can not have come back at this time."""
        earliest, latest = max(sold_at, now - MAX_AGE), now + CLOCK_LEEWAY
        if not earliest <= refunded_at <= latest:
            raise DomainError(
                "REFUND_TIME_OUT_OF_RANGE",
                f"goods must come back between {_rfc3339(earliest)} and {_rfc3339(latest)}",
                earliest=_rfc3339(earliest),
                latest=_rfc3339(latest),
            )

    def expiry(self, earned_at: datetime) -> datetime | None:
        """Returns when points earned now expire, at the end of a day of the programme; None for never.

        A month that is too short ends on its last day: earned on 31 January, for a month, they expire with
        the end of 28 or 29 February.
        """
        if not self.expire_months:
            return None
        local = earned_at.astimezone(self.time_zone)
        year, month = divmod(local.year * 12 + local.month - 1 + self.expire_months, 12)
        last_day = date(year, month + 1, min(local.day, monthrange(year, month + 1)[1]))
        # A midnight that clocks skip is the moment at which they skip it; of two midnights it is the first.
        return datetime.combine(last_day + timedelta(days=1), time(), self.time_zone).astimezone(UTC)

    def claim_until(self, sold_at: datetime) -> datetime:
        """Returns until when a purchase without a member can be claimed."""
        return sold_at + timedelta(days=self.claim_days)


def balance_limit_reached() -> DomainError:
    """The member's balance would leave the range of 32 bits."""
    return DomainError("BALANCE_LIMIT_REACHED", "the balance would become larger than Scrip can keep")


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
