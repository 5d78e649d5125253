"""Redeeming codes at volume: what comes together shares a statement, and one question to Redis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from services.common.batching import Batcher
from services.common.db import Database
from services.common.errors import DomainError
from services.promos.codes.commands.redeem_codes import Answer, NewRedemption, redeem_codes
from services.promos.codes.guesses import Guesser, Guesses
from services.promos.codes.queries import RedemptionRow
from services.promos.shown_members import ShownMembers

_MOST_TOGETHER = 200


class _Try(NamedTuple):
    guesser: Guesser
    new: NewRedemption


class Redeemer:
    """Redeems codes for the sales of tills and staff."""

    def __init__(self, db: Database, guesses: Guesses, members: ShownMembers) -> None:
        self._db = db
        self._guesses = guesses
        self._members = members
        self._queue = Batcher("redemptions", self._redeem_batch, max_batch=_MOST_TOGETHER)

    async def redeem(self, guesser: Guesser, new: NewRedemption, *, member_code: str) -> RedemptionRow:
        """Returns the redemption, the same for every repetition.

        Identity is asked whose `member_code` it is only when that is needed, so that a repetition never
        needs it: a signed code is over by then. Raises what `redeem_codes` answers, TOO_MANY_REQUESTS,
        OVERLOADED, MEMBER_CODE_UNKNOWN, and DEPENDENCY_UNAVAILABLE when identity is needed and away.
        """
        try:
            return await self._submit(guesser, replace(new, member_shown=bool(member_code)))
        except DomainError as error:
            if error.reason != "MEMBER_REQUIRED" or not member_code:
                raise
        shown = await self._members.find(member_code)
        return await self._submit(guesser, replace(new, member_id=shown.id))

    async def drain(self) -> None:
        """Waits for what is under way."""
        await self._queue.close()

    async def _submit(self, guesser: Guesser, new: NewRedemption) -> RedemptionRow:
        try:
            return await self._queue.submit(_Try(guesser, new))
        except DomainError as error:
            await self._guesses.count(guesser, error)
            raise

    async def _redeem_batch(self, batch: list[_Try]) -> Sequence[Answer]:
        refusals = await self._guesses.refusals([one.guesser for one in batch])
        let_in = [one.new for one, refusal in zip(batch, refusals, strict=True) if refusal is None]
        answers = iter(await self._db.run(redeem_codes, let_in) if let_in else [])
        return [refusal or next(answers) for refusal in refusals]
