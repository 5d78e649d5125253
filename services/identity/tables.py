"""All tables of identity, each from the room that owns it. For migrations and tests only."""

from __future__ import annotations

from services.identity.accounts import tables as accounts
from services.identity.audit import tables as audit
from services.identity.base import Base
from services.identity.events import tables as events
from services.identity.keys import tables as keys
from services.identity.members import tables as members
from services.identity.otp import tables as otp
from services.identity.sessions import tables as sessions
from services.identity.staff import tables as staff
from services.identity.tills import tables as tills

__all__ = ["Base", "accounts", "audit", "events", "keys", "members", "otp", "sessions", "staff", "tills"]
