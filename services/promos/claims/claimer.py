"""Claims at volume: those that wait at the same time share statements, and sold out is said cheaply."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from services.common.batching import Batcher
from services.common.db import Database
from services.common.errors import DomainError
from services.promos.claims.claiming import NewClaim, Outcome, claim_codes, judge_claims
from services.promos.claims.contacts import Contacts
from services.promos.claims.queries import MyClaimRow, get_claims

_SOLD_OUT_SECONDS = 1.0
_MOST_SOLD_OUT = 10_000


class Claimer:
    """Makes claims.

    A discount that was sold out a moment ago is only read: that locks nothing, and a repetition still finds
    its claim. Whether it is sold out is never taken from memory.
    """

    def __init__(self, db: Database, contacts: Contacts) -> None:
        self._db = db
        self._contacts = contacts
        self._batches = Batcher("claims", self._claim_batch)
        self._sold_out: dict[UUID, float] = {}

    async def claim(self, new: NewClaim) -> MyClaimRow:
        """Returns the member's claim, the same for every repetition with the same key.

        Events of members lag behind: one who seems not to agree is asked about at identity before being
        refused. Raises what `claim_codes` returns as refusals, and DEPENDENCY_UNAVAILABLE when identity is
        needed and away.
        """
        try:
            return await self._batches.submit(new)
        except DomainError as error:
            if error.reason != "CONSENT_REQUIRED" or not await self._contacts.agrees(new.member_id):
                raise
        return await self._batches.submit(replace(new, agreed=True))

    async def drain(self) -> None:
        """Waits for what is under way."""
        await self._batches.close()

    async def _claim_batch(self, batch: list[NewClaim]) -> list[MyClaimRow | DomainError]:
        outcomes = await self._judge({p: new for p, new in enumerate(batch) if self._seems_sold_out(new)})
        waiting = {place: new for place, new in enumerate(batch) if place not in outcomes}
        if waiting:
            claimed = await self._db.run(claim_codes, list(waiting.values()))
            outcomes |= dict(zip(waiting, claimed, strict=True))
        for place, new in waiting.items():
            self._remember(new, outcomes[place])
        made = [outcome for outcome in outcomes.values() if isinstance(outcome, UUID)]
        rows = await self._db.read(get_claims, made) if made else {}
        found = (outcomes[place] for place in range(len(batch)))
        return [rows[outcome] if isinstance(outcome, UUID) else outcome for outcome in found]

    async def _judge(self, claims: Mapping[int, NewClaim]) -> dict[int, Outcome]:
        """Returns the outcomes of those that get no code, by their places."""
        if not claims:
            return {}
        judged = await self._db.read(judge_claims, list(claims.values()))
        return {place: one for place, one in zip(claims, judged, strict=True) if one is not None}

    def _seems_sold_out(self, new: NewClaim) -> bool:
        return time.monotonic() < self._sold_out.get(new.discount_id, 0.0)

    def _remember(self, new: NewClaim, outcome: Outcome) -> None:
        if isinstance(outcome, DomainError) and outcome.reason == "DISCOUNT_SOLD_OUT":
            if len(self._sold_out) >= _MOST_SOLD_OUT:
                self._sold_out.clear()
            self._sold_out[new.discount_id] = time.monotonic() + _SOLD_OUT_SECONDS
