"""Why an import of codes is refused."""

from __future__ import annotations

from uuid import UUID

from services.common.errors import DomainError


def code_import_not_found(import_id: UUID) -> DomainError:
    """No such import."""
    return DomainError("CODE_IMPORT_NOT_FOUND", "no such import of codes", code_import_id=import_id)
