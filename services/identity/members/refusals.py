"""Refusals about members."""

from __future__ import annotations

from uuid import UUID

from services.common.errors import DomainError


def member_not_found(member_id: UUID) -> DomainError:
    """Returns the refusal for an id that no member has."""
    return DomainError("MEMBER_NOT_FOUND", "no such member", member_id=member_id)
