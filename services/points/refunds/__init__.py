"""Refunds: goods of a recorded purchase that come back, and the points that go with them.

Owns `refunds`. What was returned of a line stands with the line, in `purchases`.
"""

from __future__ import annotations

from services.points.refunds.commands import move_refunds as move_refunds
from services.points.refunds.rules import Refund as Refund
from services.points.refunds.rules import Returned as Returned

__all__ = ["Refund", "Returned", "move_refunds"]
