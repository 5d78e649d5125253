"""What codes take off a basket, and why some do not apply."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from services.common.caller import MEMBER
from services.common.db import Database
from services.common.errors import DomainError
from services.promos.baskets import refusals
from services.promos.baskets.discounts import Discount, Line, Offer, discounts
from services.promos.baskets.purchases import Purchases
from services.promos.baskets.queries import used_first_purchase
from services.promos.baskets.sales import Sale
from services.promos.codes import Guesser, Guesses, RedeemableCode, find_redeemable, member_required


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


class Quotes:
    """Judges baskets."""

    def __init__(self, db: Database, guesses: Guesses, purchases: Purchases) -> None:
        self._db = db
        self._guesses = guesses
        self._purchases = purchases

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

        Raises TOO_MANY_REQUESTS, and OutcomeUnknownError when points is needed and away.
        """
        await self._guesses.check(guesser)
        once = list(dict.fromkeys(codes))
        own_only = guesser.caller.role == MEMBER
        judged = await self._db.read(find_redeemable, once, member_id=member_id, own_only=own_only)
        for one in judged:
            await self._guesses.count(guesser, one)
        found = [one for one in judged if not isinstance(one, DomainError)]
        refused = await self._refused(found, sale)
        offers = [Offer(one.id, one.benefit) for one in found if one.id not in refused]
        computed = discounts(lines, offers, alone=len(once) == 1)
        outcomes = refused | computed
        first = {
            code: GivenCode(None, one) if isinstance(one, DomainError) else GivenCode(one, outcomes[one.id])
            for code, one in zip(once, judged, strict=True)
        }
        twice = GivenCode(None, refusals.code_given_twice())
        return Quote(
            lines,
            [first.pop(code, twice) for code in codes],
            [one for one in computed.values() if isinstance(one, Discount)],
        )

    async def _refused(
        self, found: Sequence[RedeemableCode], sale: Sale | None
    ) -> dict[UUID, Discount | DomainError]:
        """Returns by their ids the codes that do not apply, whatever the lines are, and why."""
        refused: dict[UUID, Discount | DomainError] = {}
        first = [one for one in found if one.benefit.first_purchase_only]
        buyers = await self._buyers({one.user_id for one in first if one.user_id}, sale)
        for one in found:
            if one.needs_member or (one.benefit.first_purchase_only and one.user_id is None):
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
