"""All tables of points, each from the room that owns it. For migrations and tests only."""

from __future__ import annotations

from services.points.adjustments import tables as adjustments
from services.points.base import Base
from services.points.earning import tables as earning
from services.points.ledger import tables as ledger
from services.points.members import tables as members
from services.points.purchases import tables as purchases
from services.points.refunds import tables as refunds

__all__ = ["Base", "adjustments", "earning", "ledger", "members", "purchases", "refunds"]
