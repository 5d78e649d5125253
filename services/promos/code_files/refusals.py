"""Why an import of codes is refused."""

from __future__ import annotations

from uuid import UUID

from services.common.errors import DomainError


def codes_exist_elsewhere() -> DomainError:
    """Some codes of a brand's file are in sets of others. Which ones is not told: they are worth money."""
    return DomainError(
        "CODES_EXIST_ELSEWHERE", "some of these codes exist in other sets; nothing was imported"
    )


def code_import_not_found(import_id: UUID) -> DomainError:
    """No such import."""
    return DomainError("CODE_IMPORT_NOT_FOUND", "no such import of codes", code_import_id=import_id)
