"""What is known of members from identity's events, and the member codes that it resolved.

Owns `member_codes`; `members` is the common table of all services that get members' events.
"""

from __future__ import annotations

from services.points.members.member_codes import get_member_of_code as get_member_of_code
from services.points.members.member_codes import keep_member_codes as keep_member_codes
from services.points.members.member_codes import suspended_among as suspended_among
from services.points.members.on_member_event import on_member_event as on_member_event

__all__ = ["get_member_of_code", "keep_member_codes", "on_member_event", "suspended_among"]
