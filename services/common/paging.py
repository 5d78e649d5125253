"""Pages of lists: opaque tokens that name the last row seen, so that a page costs the same anywhere."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from typing import TypeVar

import orjson

from services.common.errors import DomainError

DEFAULT_SIZE = 50
_BIGINT = range(-(2**63), 2**63)
R = TypeVar("R")


class Page:
    """What a list call asks for: how many rows, after which one.

    `scope` is whatever makes two lists different (the list's name and its filters); a token of one
    scope is refused by another.
    """

    def __init__(self, size: int, token: str, *scope: object) -> None:
        self.size = size or DEFAULT_SIZE
        self._scope = hashlib.sha256(repr(scope).encode()).hexdigest()[:16]
        self._after = self._decode(token) if token else None

    @property
    def first(self) -> bool:
        """Whether this is the first page."""
        return self._after is None

    def after(self, parse: Callable[[str], R]) -> R | None:
        """Returns the position of the last row seen, or None on the first page."""
        if self._after is None:
            return None
        try:
            position = parse(self._after)
        except ValueError as error:
            raise _not_valid() from error
        if isinstance(position, int) and position not in _BIGINT:  # no row of the database has it
            raise _not_valid()
        return position

    def cut(self, rows: Sequence[R], position: Callable[[R], object]) -> tuple[Sequence[R], str]:
        """From `size + 1` rows at most: the page, and the token of the next one or an empty text."""
        if len(rows) <= self.size:
            return rows, ""
        page = rows[: self.size]
        return page, self.token(position(page[-1]))

    def token(self, position: object) -> str:
        """Returns the token of the page that begins behind a position."""
        return self._encode(str(position))

    def _encode(self, position: str) -> str:
        return base64.urlsafe_b64encode(orjson.dumps([self._scope, position])).rstrip(b"=").decode()

    def _decode(self, token: str) -> str:
        try:
            scope, position = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        except (binascii.Error, ValueError, TypeError) as error:
            raise _not_valid() from error
        if scope != self._scope or not isinstance(position, str) or "\0" in position:
            raise _not_valid()
        return position


def _not_valid() -> DomainError:
    return DomainError("PAGE_TOKEN_NOT_VALID", "page_token was not made by this list with these filters")
