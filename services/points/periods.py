"""The period that a list may be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from google.protobuf.message import Message

from services.common.encoding import moment
from services.common.errors import invalid_field


@dataclass(frozen=True)
class Period:
    """From a moment on, and before another; None is no limit."""

    start: datetime | None = None
    end: datetime | None = None


def period_of(request: Message) -> Period:
    """Returns the period that a list is asked for, by the fields `from` and `until`.

    Raises VALIDATION_FAILED when it ends before it begins.
    """
    wanted = Period(moment(request, "from"), moment(request, "until"))
    if wanted.start and wanted.end and wanted.end <= wanted.start:
        raise invalid_field("until", "must be later than from")
    return wanted
