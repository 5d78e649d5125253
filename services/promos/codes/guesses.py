"""How often who may come with codes that are not valid."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.common.caller import MEMBER, Caller
from services.common.errors import DomainError
from services.common.throttle import Limit, Throttle

_MEMBERS_OF_AN_ADDRESS = 10
"""A shop's wireless network has many members; each may be wrong now and then."""
_TILLS_OF_A_CLIENT = 100
"""A store server speaks for many tills."""


@dataclass(frozen=True, slots=True)
class Guesser:
    """Who comes with a code: the caller, where it calls from, and which of its tills it is."""

    caller: Caller
    address: str
    till_number: str = ""


class Guesses:
    """Limits the codes that are not valid, in a minute.

    A member's count for the member, and together with those of the others at its address. Those of tills
    and staff count for each till alone, so that one that scans rubbish stops itself and neither the others
    of its store server nor those behind the same address; a client that makes up till numbers is stopped
    as a whole, later. Without Redis each process counts for itself.
    """

    def __init__(self, throttle: Throttle, *, per_member: int, per_till: int) -> None:
        self._throttle = throttle
        self._member = Limit("wrong_codes_per_caller", per_member, 60, open_when_away=True)
        self._address = _limit("wrong_codes_per_address", per_member * _MEMBERS_OF_AN_ADDRESS)
        self._till = _limit("wrong_codes_per_till", per_till)
        self._client = _limit("wrong_codes_per_client", per_till * _TILLS_OF_A_CLIENT)

    async def check(self, guesser: Guesser) -> None:
        """Raises TOO_MANY_REQUESTS for one who was wrong too often."""
        (refusal,) = await self.refusals([guesser])
        if refusal:
            raise refusal

    async def refusals(self, guessers: Sequence[Guesser]) -> list[DomainError | None]:
        """Returns for each TOO_MANY_REQUESTS if it was wrong too often; one call of Redis for all."""
        asked = list(dict.fromkeys(pair for guesser in guessers for pair in self._counted(guesser)))
        refused = dict(zip(asked, await self._throttle.reached(asked), strict=True))
        return [
            next(filter(None, (refused[pair] for pair in self._counted(guesser))), None)
            for guesser in guessers
        ]

    async def count(self, guesser: Guesser, outcome: object) -> None:
        """Counts a refusal for a code that is not valid. Raises TOO_MANY_REQUESTS beyond the limit."""
        if isinstance(outcome, DomainError) and outcome.reason == "CODE_NOT_VALID":
            for limit, key in self._counted(guesser):
                await self._throttle.hit(limit, key)

    @asynccontextmanager
    async def guess(self, guesser: Guesser) -> AsyncIterator[None]:
        """For one code: refuses before, and counts what is refused inside."""
        await self.check(guesser)
        try:
            yield
        except DomainError as error:
            await self.count(guesser, error)
            raise

    def _counted(self, guesser: Guesser) -> list[tuple[Limit, str]]:
        subject = guesser.caller.subject
        if guesser.caller.role == MEMBER:
            of_address = [(self._address, guesser.address)] if guesser.address else []
            return [(self._member, subject), *of_address]
        return [(self._till, f"{subject}:{guesser.till_number}"), (self._client, subject)]


def _limit(name: str, count: int) -> Limit:
    return Limit(name, count, 60, open_when_away=True)
