"""When a store is open: intervals of a week, as people say them, and as minutes since Monday began.

Minutes are what PostgreSQL keeps, as a multirange: whether a store is open is then one comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

import orjson

from services.common.errors import DomainError, invalid_field

DAY = 24 * 60
WEEK = 7 * DAY
Minutes = list[tuple[int, int]]
"""Ranges of minutes since Monday began: from the first of each on, and before the second."""


@dataclass(frozen=True, slots=True)
class Interval:
    """From an opening to a closing, in minutes of the day. The weekday is that of the opening; Monday is 0.

    `closes` may be 1440, the end of the day.
    """

    weekday: int
    opens: int
    closes: int
    closes_next_day: bool = False


def to_minutes(intervals: Sequence[Interval]) -> Minutes:
    """Returns the minutes of these intervals, in order, those that touch joined.

    Raises VALIDATION_FAILED for an interval that ends before it starts or lasts longer than a day, and for
    those that overlap.
    """
    parts: Minutes = []
    for interval in intervals:
        lasts = interval.closes - interval.opens + (DAY if interval.closes_next_day else 0)
        if lasts <= 0:
            raise _wrong("must close after they open; over midnight they close on the next day")
        if lasts > DAY:
            raise _wrong("must last a day at most, each of them")
        start = interval.weekday * DAY + interval.opens
        end = start + lasts
        parts.append((start, min(end, WEEK)))
        if end > WEEK:
            parts.append((0, end - WEEK))
    joined: Minutes = []
    for start, end in sorted(parts):
        if joined and start < joined[-1][1]:
            raise _wrong("must not overlap")
        if joined and start == joined[-1][1]:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def to_intervals(minutes: Minutes) -> list[Interval]:
    """Returns the intervals of these minutes, from Monday on.

    What lasts longer than a day is one interval of each day. One over the end of the week is of Sunday.
    """
    ranges = sorted(minutes)
    if len(ranges) > 1 and ranges[0][0] == 0 and ranges[-1][1] == WEEK:
        ranges = [*ranges[1:-1], (ranges[-1][0], WEEK + ranges[0][1])]
    found: list[Interval] = []
    for start, end in ranges:
        while end - start > DAY:
            midnight = (start // DAY + 1) * DAY
            found.append(_interval(start, midnight))
            start = midnight  # noqa: PLW2901  # what is left of it
        found.append(_interval(start, end))
    return sorted(found, key=lambda one: (one.weekday, one.opens))


def minutes_by_zone() -> str:
    """Returns the minute of the week that it is now in each time zone, by its name, as JSON."""
    return _minutes_by_zone(datetime.now(UTC).replace(second=0, microsecond=0))


@lru_cache(maxsize=1)
def _minutes_by_zone(moment: datetime) -> str:
    local = {zone: moment.astimezone(ZoneInfo(zone)) for zone in available_timezones()}
    return orjson.dumps(
        {zone: clock.weekday() * DAY + clock.hour * 60 + clock.minute for zone, clock in local.items()}
    ).decode()


def _interval(start: int, end: int) -> Interval:
    weekday, opens = divmod(start, DAY)
    closes = end - weekday * DAY
    over = closes > DAY
    return Interval(weekday % 7, opens, closes - DAY if over else closes, over)


def _wrong(description: str) -> DomainError:
    return invalid_field("opening_hours.intervals", description)
