"""What the retailer decided: when points expire, and which receipts are refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.line_totals import MAX_TOTAL_MINOR
from services.points.programme import MAX_POINTS, Programme, RefundPolicy

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/Santiago",  # clocks skip midnight
    "America/Havana",  # the hour after midnight comes twice
    "America/New_York",
    "America/St_Johns",  # -03:30
    "Asia/Kathmandu",  # +05:45
    "Australia/Lord_Howe",  # clocks move by half an hour
    "Pacific/Apia",  # a day was left out
    "Pacific/Kiritimati",  # +14:00
    "Etc/GMT+12",
)


def programme(**fields: Any) -> Programme:
    values: dict[str, Any] = {
        "currency_code": "USD",
        "time_zone": ZoneInfo("UTC"),
        "expire_months": 12,
        "claim_days": 14,
        "refund_policy": RefundPolicy.DEBT,
        "balance_floor": 0,
    }
    return Programme(**values | fields)


def expiry(earned_at: str, months: int, zone: str = "UTC") -> str:
    """Returns when points expire, in UTC."""
    one = programme(time_zone=ZoneInfo(zone), expire_months=months)
    found = one.expiry(datetime.fromisoformat(earned_at))
    assert found is not None
    assert found.tzinfo is UTC
    return found.isoformat().removesuffix("+00:00")


def test_without_months_points_never_expire() -> None:
    assert programme(expire_months=0).expiry(NOW) is None


@pytest.mark.parametrize(
    ("earned_at", "months", "expected"),
    [
        ("2026-03-15T00:00:00Z", 1, "2026-04-16T00:00:00"),
        ("2026-03-15T23:59:59Z", 1, "2026-04-16T00:00:00"),
        ("2026-01-31T12:00:00Z", 1, "2026-03-01T00:00:00"),
        ("2028-01-31T12:00:00Z", 1, "2028-03-01T00:00:00"),
        ("2028-01-29T12:00:00Z", 1, "2028-03-01T00:00:00"),
        ("2028-01-28T12:00:00Z", 1, "2028-02-29T00:00:00"),
        ("2028-02-29T12:00:00Z", 12, "2029-03-01T00:00:00"),
        ("2028-02-29T12:00:00Z", 48, "2032-03-01T00:00:00"),
        ("2096-02-29T12:00:00Z", 48, "2100-03-01T00:00:00"),
        ("2026-03-31T12:00:00Z", 1, "2026-05-01T00:00:00"),
        ("2026-12-31T12:00:00Z", 1, "2027-02-01T00:00:00"),
        ("2026-11-30T12:00:00Z", 13, "2027-12-31T00:00:00"),
        ("2026-12-30T12:00:00Z", 12, "2027-12-31T00:00:00"),
        ("2026-12-31T12:00:00Z", 12, "2028-01-01T00:00:00"),
        ("2026-05-20T12:00:00Z", 1_200, "2126-05-21T00:00:00"),
    ],
)
def test_points_expire_at_the_end_of_the_day_some_months_later(
    earned_at: str, months: int, expected: str
) -> None:
    assert expiry(earned_at, months) == expected


@pytest.mark.covers("P7 PointsService.ListMyExpiries")
@pytest.mark.parametrize(
    ("zone", "earned_at", "months", "expected"),
    [
        ("Europe/Berlin", "2026-01-15T12:00:00Z", 1, "2026-02-15T23:00:00"),
        ("Europe/Berlin", "2026-06-15T12:00:00Z", 1, "2026-07-15T22:00:00"),
        # Earned on the 16th there, though it was still the 15th in UTC.
        ("Europe/Berlin", "2026-01-15T23:30:00Z", 1, "2026-02-16T23:00:00"),
        # The day on which clocks go forward has 23 hours, and the one on which they go back has 25.
        ("Europe/Berlin", "2026-02-28T12:00:00Z", 1, "2026-03-28T23:00:00"),
        ("Europe/Berlin", "2026-02-28T23:30:00Z", 1, "2026-04-01T22:00:00"),
        ("Europe/Berlin", "2026-01-29T12:00:00Z", 2, "2026-03-29T22:00:00"),
        ("Europe/Berlin", "2026-09-25T12:00:00Z", 1, "2026-10-25T23:00:00"),
        # Behind UTC: the evening of the 15th.
        ("America/New_York", "2026-01-16T03:00:00Z", 1, "2026-02-16T05:00:00"),
        ("America/New_York", "2026-01-16T05:00:00Z", 1, "2026-02-17T05:00:00"),
        # Clocks go from the end of 5 September 2026 straight to 01:00 of the 6th.
        ("America/Santiago", "2026-08-05T12:00:00Z", 1, "2026-09-06T04:00:00"),
        ("America/Santiago", "2026-08-06T12:00:00Z", 1, "2026-09-07T03:00:00"),
        # The last hour of 4 April 2026 comes twice; the day ends after the second.
        ("America/Santiago", "2026-03-04T12:00:00Z", 1, "2026-04-05T04:00:00"),
        # The first hour of 1 November 2026 comes twice; the day before ended with the first.
        ("America/Havana", "2026-09-30T12:00:00Z", 1, "2026-10-31T04:00:00"),
        ("America/Havana", "2026-10-01T12:00:00Z", 1, "2026-11-02T05:00:00"),
        # 30 December 2011 did not exist: the 29th ended as the 31st began.
        ("Pacific/Apia", "2011-11-29T20:00:00Z", 1, "2011-12-30T10:00:00"),
        ("Pacific/Apia", "2011-10-31T20:00:00Z", 2, "2011-12-31T10:00:00"),
        ("Pacific/Apia", "2011-11-30T12:00:00Z", 1, "2011-12-30T10:00:00"),
        ("Pacific/Apia", "2026-01-15T10:30:00Z", 1, "2026-02-15T11:00:00"),
        ("Pacific/Kiritimati", "2026-01-31T09:00:00Z", 1, "2026-02-28T10:00:00"),
        ("Pacific/Kiritimati", "2026-01-31T11:00:00Z", 1, "2026-03-01T10:00:00"),
        ("Etc/GMT+12", "2026-02-01T11:00:00Z", 1, "2026-03-01T12:00:00"),
        ("Asia/Kathmandu", "2026-01-15T18:14:00Z", 1, "2026-02-15T18:15:00"),
        ("Asia/Kathmandu", "2026-01-15T18:15:00Z", 1, "2026-02-16T18:15:00"),
    ],
)
def test_the_day_is_that_of_the_programmes_time_zone(
    zone: str, earned_at: str, months: int, expected: str
) -> None:
    assert expiry(earned_at, months, zone) == expected


@given(
    st.integers(0, 25 * 365 * 86_400).map(lambda seconds: NOW - timedelta(days=4_000, seconds=-seconds)),
    st.integers(1, 60),
    st.sampled_from(ZONES),
)
def test_points_live_as_long_as_promised_and_expire_as_a_day_ends(
    earned_at: datetime, months: int, zone_name: str
) -> None:
    zone = ZoneInfo(zone_name)
    found = programme(time_zone=zone, expire_months=months).expiry(earned_at)
    assert found is not None
    earned, last = earned_at.astimezone(zone), (found - timedelta(microseconds=1)).astimezone(zone)
    assert last.date() < found.astimezone(zone).date(), "a day ends there"
    year, month = divmod(earned.year * 12 + earned.month - 1 + months, 12)
    assert (last.year, last.month) == (year, month + 1)
    ends_short = (last.date() + timedelta(days=1)).day == 1 and last.day < earned.day
    assert last.day == earned.day or ends_short
    later = programme(time_zone=zone, expire_months=months).expiry(earned_at + timedelta(days=1))
    assert later is not None
    assert later >= found, "what is earned later never expires earlier"


def test_a_day_that_some_clocks_skip_ends_nevertheless() -> None:
    """The moment of expiry is the first of the next day that exists, for every day of 30 years."""
    for zone in map(ZoneInfo, ZONES):
        one = programme(time_zone=zone, expire_months=1)
        day = date(2010, 1, 1)
        while day < date(2040, 1, 1):
            found = one.expiry(datetime.combine(day, time(12), zone))
            assert found is not None
            before = (found - timedelta(microseconds=1)).astimezone(zone)
            assert before.date() < found.astimezone(zone).date(), (zone, day)
            day += timedelta(days=1)


def test_a_receipt_of_the_last_thirty_days_is_taken() -> None:
    for sold_at in (NOW, NOW - timedelta(days=30), NOW + timedelta(minutes=2)):
        assert refused(sold_at=sold_at) is None
    tick = timedelta(microseconds=1)
    for sold_at in (NOW - timedelta(days=30) - tick, NOW + timedelta(minutes=2) + tick):
        assert refused(sold_at=sold_at) == "SALE_TIME_OUT_OF_RANGE"


def test_amounts_and_currencies_have_their_limits() -> None:
    assert refused(total_minor=MAX_TOTAL_MINOR, points=MAX_POINTS) is None
    assert refused(total_minor=MAX_TOTAL_MINOR + 1) == "RECEIPT_TOO_LARGE"
    assert refused(points=MAX_POINTS + 1) == "BALANCE_LIMIT_REACHED"
    for code in ("EUR", "usd", ""):
        assert refused(currency_code=code) == "CURRENCY_NOT_SUPPORTED"
    assert refused(currency_code="EUR", sold_at=NOW - timedelta(days=99)) == "CURRENCY_NOT_SUPPORTED"


def refused(**fields: Any) -> str | None:
    """Returns the reason of the refusal of a receipt, or None."""
    values: dict[str, Any] = {
        "currency_code": "USD",
        "sold_at": NOW,
        "total_minor": 1_000,
        "points": 1,
        "now": NOW,
    }
    refusal = programme().refusal(**values | fields)
    return refusal.reason if refusal else None


def test_a_purchase_can_be_claimed_for_some_days_after_the_sale() -> None:
    assert programme(claim_days=14).claim_until(NOW) == NOW + timedelta(days=14)
