"""Refusals about members."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from services.common.errors import DomainError


def member_not_found(member_id: UUID) -> DomainError:
    """Returns the refusal for an id that no member has."""
    return DomainError("MEMBER_NOT_FOUND", "no such member", member_id=member_id)


def proof_required(methods: Sequence[str]) -> DomainError:
    """Returns the refusal of a change that a token alone does not do for; `methods` are the ways to prove."""
    message = "prove anew who you are: by your password, or by a one-time password"
    return DomainError("PROOF_REQUIRED", message, methods=",".join(methods))
