"""Refusals about accounts."""

from __future__ import annotations

from services.common.errors import DomainError


def credentials_not_valid() -> DomainError:
    """Returns the refusal of a wrong name or secret. It does not reveal which of the two is wrong."""
    return DomainError("CREDENTIALS_NOT_VALID", "name or secret is wrong")


def current_password_not_valid() -> DomainError:
    """Returns the refusal of a wrong password of somebody who is logged in."""
    return DomainError("CURRENT_PASSWORD_NOT_VALID", "the current password is wrong")
