"""What the handlers of several rooms check of a request."""

from __future__ import annotations

from services.common.errors import invalid_field


def refuse_nul(**texts: str) -> None:
    """Raises VALIDATION_FAILED for a field with a NUL character, which can not be stored."""
    for field, value in texts.items():
        if "\0" in value:
            raise invalid_field(field, "must not contain a NUL character")
