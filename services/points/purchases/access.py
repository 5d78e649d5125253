"""Whose purchases a caller may touch."""

from __future__ import annotations

from uuid import UUID

from services.common.caller import TILL, Caller


def own_client(who: Caller) -> UUID | None:
    """Returns the client whose purchases alone the caller may touch; None for staff, who may touch all."""
    return who.id if who.role == TILL else None
