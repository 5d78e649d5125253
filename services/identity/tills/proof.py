"""Proving to be a till, by its secret."""

from __future__ import annotations

import hmac
from uuid import UUID

from services.common.db import Database
from services.common.throttle import Limit, Throttle
from services.identity.accounts import credentials_not_valid
from services.identity.keys import hash_secret
from services.identity.tills.queries import till_secret_hashes

_PER_TILL = Limit("failed_tokens_per_client", 20, 300, open_when_away=True)


class TillProof:
    """Verifies secrets of tills."""

    def __init__(self, db: Database, throttle: Throttle) -> None:
        self._db = db
        self._throttle = throttle

    async def till(self, client_id: str, secret: str) -> UUID:
        """Returns the till's id, however it is spelled, if this is one of its secrets.

        Raises CREDENTIALS_NOT_VALID, and TOO_MANY_REQUESTS after twenty failures within five minutes. The
        right secret is accepted at any time: nobody guesses 256 random bits, and a stranger who knows a
        till's id must not be able to keep it from selling.
        """
        try:
            till = UUID(client_id)
        except ValueError:
            raise credentials_not_valid() from None
        kept = await self._db.read(till_secret_hashes, till)
        given = hash_secret(secret)
        if not any(hmac.compare_digest(one, given) for one in kept):
            await self._throttle.hit(_PER_TILL, str(till))
            raise credentials_not_valid()
        return till
