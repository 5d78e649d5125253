"""What codes take off a basket, and why some do not apply."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from services.common.batching import Batcher
from services.common.caller import MEMBER
from services.common.db import Database
from services.common.errors import DomainError
from services.promos.baskets import refusals
from services.promos.baskets.discounts import Discount, Line, Offer, discounts
from services.promos.baskets.purchases import Purchases
from services.promos.baskets.queries import used_first_purchase
from services.promos.baskets.sales import Sale
from services.promos.codes import (
    Guesser,
    Guesses,
    Question,
    RedeemableCode,
    code_member_limit,
    code_not_valid,
    judge,
    member_required,
)

_MOST_TOGETHER = 100


class GivenCode(NamedTuple):
    """A code as it was given.

    `found` is None when it can not be redeemed at all. `outcome` is what it takes off, or why it does not
    apply.
    """

    found: RedeemableCode | None
    outcome: Discount | DomainError


@dataclass(frozen=True, slots=True)
class Quote:
    """The codes of a basket, in the order in which they were given; and what they take off, as computed."""

    lines: Sequence[Line]
    codes: Sequence[GivenCode]
    discounts: Sequence[Discount]


class _Asked(NamedTuple):
    guesser: Guesser
    questions: list[Question]

    @property
    def own_only(self) -> bool:
        """Whether a member asks, who may give its own codes and those that are good for anybody."""
        return self.guesser.caller.role == MEMBER


_Judged = list[RedeemableCode | DomainError]


class Quotes:
    """Judges baskets. Codes that wait at the same time share a statement, and a question to Redis."""

    def __init__(self, db: Database, guesses: Guesses, purchases: Purchases) -> None:
        self._db = db
        self._guesses = guesses
        self._purchases = purchases
        self._queue: Batcher[_Asked, _Judged] = Batcher(
            "baskets", self._judge_batch, max_batch=_MOST_TOGETHER
        )

    async def drain(self) -> None:
        """Waits for what is under way."""
        await self._queue.close()

    async def quote(
        self,
        lines: Sequence[Line],
        codes: Sequence[str],
        *,
        guesser: Guesser,
        member_id: UUID | None,
        sale: Sale | None = None,
    ) -> Quote:
        """Returns what codes, as `read_code` returns them, take off, and why some do not apply.

        `member_id` is the member who buys, if that is known, and `sale` the present one, which is no purchase
        before it. Each code that is not valid counts as a guess.

        Raises TOO_MANY_REQUESTS, OVERLOADED, and OutcomeUnknownError when points is needed and away.
        """
        once = list(dict.fromkeys(codes))
        judged = await self._queue.submit(_Asked(guesser, [Question(code, member_id) for code in once]))
        for one in judged:
            await self._guesses.count(guesser, one)
        return await self._put_together(lines, codes, dict(zip(once, judged, strict=True)), sale)

    async def quote_known(
        self, lines: Sequence[Line], code: str, *, member_id: UUID, sale: Sale | None = None
    ) -> Quote:
        """Does what `quote` does for one code that the member has shown to know: no guess is counted.

        To the member, another's code looks as if it did not exist. Raises OutcomeUnknownError.
        """
        [judged] = await self._db.read(judge, [Question(code, member_id)])
        if isinstance(judged, RedeemableCode) and judged.owner_member_id not in (None, member_id):
            judged = code_not_valid()
        return await self._put_together(lines, [code], {code: judged}, sale)

    async def _put_together(
        self,
        lines: Sequence[Line],
        codes: Sequence[str],
        judged: Mapping[str, RedeemableCode | DomainError],
        sale: Sale | None,
    ) -> Quote:
        found = [one for one in judged.values() if not isinstance(one, DomainError)]
        refused = await self._refused(found, sale)
        offers = [Offer(one.id, one.benefit) for one in found if one.id not in refused]
        computed = discounts(lines, offers, alone=len(judged) == 1)
        outcomes = refused | computed
        first = {
            code: GivenCode(None, one) if isinstance(one, DomainError) else GivenCode(one, outcomes[one.id])
            for code, one in judged.items()
        }
        twice = GivenCode(None, refusals.code_given_twice())
        return Quote(
            lines,
            [first.pop(code, twice) for code in codes],
            [one for one in computed.values() if isinstance(one, Discount)],
        )

    async def _judge_batch(self, batch: list[_Asked]) -> list[_Judged | DomainError]:
        """Returns for each its codes, or TOO_MANY_REQUESTS."""
        refused = await self._guesses.refusals([one.guesser for one in batch])
        let_in = [place for place, refusal in enumerate(refused) if refusal is None]
        answers: list[_Judged | DomainError] = [refusal or [] for refusal in refused]
        for own_only in (False, True):
            places = [place for place in let_in if batch[place].own_only is own_only]
            questions = [question for place in places for question in batch[place].questions]
            if questions:
                found = iter(await self._db.read(judge, questions, own_only=own_only))
                for place in places:
                    answers[place] = [next(found) for _ in batch[place].questions]
        return answers

    async def _refused(
        self, found: Sequence[RedeemableCode], sale: Sale | None
    ) -> dict[UUID, Discount | DomainError]:
        """Returns by their ids the codes that do not apply, whatever the lines are, and why."""
        refused: dict[UUID, Discount | DomainError] = _over_the_limit(found)
        first = [one for one in found if one.benefit.first_purchase_only]
        buyers = await self._buyers({one.user_id for one in first if one.user_id}, sale)
        for one in found:
            if one.needs_member:
                refused[one.id] = member_required(one.id)
            elif one.benefit.first_purchase_only and one.user_id in buyers:
                refused[one.id] = refusals.not_first_purchase(one.id)
        return refused

    async def _buyers(self, member_ids: set[UUID], sale: Sale | None) -> set[UUID]:
        """Returns those of these members, who are few, for whom a sale is not the first purchase."""
        if not member_ids:
            return set()
        used = await self._db.read(used_first_purchase, member_ids)
        rest = sorted(member_ids - used)
        have = await asyncio.gather(*(self._purchases.has_any(one, besides=sale) for one in rest))
        return used | {one for one, has in zip(rest, have, strict=True) if has}


def _over_the_limit(found: Sequence[RedeemableCode]) -> dict[UUID, Discount | DomainError]:
    """Returns the codes that are one too many for their user, of sets that limit each member."""
    uses: Counter[tuple[UUID, UUID]] = Counter()
    refused: dict[UUID, Discount | DomainError] = {}
    for one in found:
        if one.uses_per_member is None or one.user_id is None:
            continue
        whose = one.code_set_id, one.user_id
        if one.member_uses + uses[whose] >= one.uses_per_member:
            refused[one.id] = code_member_limit(one.id, one.uses_per_member)
        else:
            uses[whose] += 1
    return refused
