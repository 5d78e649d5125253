"""Changes of what somebody read before: only as it was read."""

from __future__ import annotations

from services.common.errors import DomainError


def require_etag(given: str, present: str, *, of: str) -> None:
    """Raises ETAG_MISMATCH, with the present etag, when the caller read another version; none given is any.

    The caller of this holds the row's lock since it read `present`.
    """
    if given and given != present:
        raise DomainError(
            "ETAG_MISMATCH", f"somebody changed the {of} meanwhile; read it again", etag=present
        )
