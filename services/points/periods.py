"""The period that a list may be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from google.protobuf.message import Message

from services.common.encoding import moment
from services.common.errors import invalid_field


@dataclass(frozen=True)
class Period:
    """From a moment on, and before another; None is no limit."""

    start: datetime | None = None
    end: datetime | None = None


def period_of(request: Message, of: Literal["occurred", "recorded", "sold"]) -> Period:
    """Returns the period that a list is asked for, by two fields such as `sold_from` and `sold_until`.

    Raises VALIDATION_FAILED when it ends before it begins.
    """
    wanted = Period(moment(request, f"{of}_from"), moment(request, f"{of}_until"))
    if wanted.start and wanted.end and wanted.end <= wanted.start:
        raise invalid_field(f"{of}_until", f"must be later than {of}_from")
    return wanted
