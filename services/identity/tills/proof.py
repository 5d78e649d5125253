"""Proving to be a till, by its secret."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from uuid import UUID

from services.common.db import Database
from services.common.throttle import Limit, Throttle
from services.identity.accounts import credentials_not_valid
from services.identity.keys import hash_secret
from services.identity.tills.queries import TillSecrets, till_secrets

_PER_TILL = Limit("failed_tokens_per_client", 20, 300, open_when_away=True)


@dataclass(frozen=True)
class ProvenTill:
    """A till that knows its secret, and the series that its tokens belong to."""

    id: UUID
    token_series: UUID


class TillProof:
    """Verifies secrets of tills."""

    def __init__(self, db: Database, throttle: Throttle) -> None:
        self._db = db
        self._throttle = throttle

    async def till(self, client_id: str, secret: str) -> ProvenTill:
        """Returns the till, however its id is spelled, if this is one of its secrets.

        Raises CREDENTIALS_NOT_VALID, and TOO_MANY_REQUESTS after twenty failures within five minutes. The
        right secret is accepted at any time: nobody guesses 256 random bits, and a stranger who knows a
        till's id must not be able to keep it from selling.
        """
        try:
            till = UUID(client_id)
        except ValueError:
            raise credentials_not_valid() from None
        kept = await self._db.read(till_secrets, till)
        if kept is None or not _matches(kept, hash_secret(secret)):
            await self._throttle.hit(_PER_TILL, str(till))
            raise credentials_not_valid()
        return ProvenTill(till, kept.token_series)


def _matches(kept: TillSecrets, given: bytes) -> bool:
    hashes = (kept.secret_hash, kept.old_secret_hash)
    return any(one is not None and hmac.compare_digest(one, given) for one in hashes)
