"""Reads of look-ups."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.common.lists import Listing, SortKey, parse_moment


@dataclass(frozen=True, slots=True)
class LookUpRow:
    """That somebody looked a member up. `method` is PHONE or MEMBER_CODE."""

    id: UUID
    looked_up_at: datetime
    caller_id: UUID
    caller_role: str
    member_id: UUID
    method: str


LOOK_UPS = Listing(
    row=LookUpRow,
    columns="id, looked_up_at, caller_id, caller_role, member_id, method",
    source="look_ups",
    filters={
        "member_id": "member_id = %(member_id)s",
        "caller_id": "caller_id = %(caller_id)s",
        "looked_up_from": "looked_up_at >= %(looked_up_from)s",
        "looked_up_until": "looked_up_at < %(looked_up_until)s",
    },
    keys={"looked_up_at": SortKey("looked_up_at", "looked_up_at", parse_moment)},
    key=SortKey("id", "id", UUID),
    default_order="looked_up_at desc",
)
"""Who looked which members up."""
