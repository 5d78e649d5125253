"""The period that a list may be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Period:
    """From a moment on, and before another; None is no limit."""

    start: datetime | None = None
    end: datetime | None = None
