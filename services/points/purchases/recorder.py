"""Recording purchases at volume: what comes together shares a statement, and new codes one question."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from services.common.batching import Batcher, Outcomes, Room
from services.common.db import Database
from services.common.errors import DomainError
from services.common.ids import utc_now
from services.points.balances import Balances
from services.points.members import keep_member_codes
from services.points.programme import Programme
from services.points.purchases.commands import Answer, record_purchases
from services.points.purchases.member_codes import ResolvedCode, SignedCode, may_be_a_code
from services.points.purchases.purchase import NewPurchase, Purchase, Recorded
from services.points.purchases.refusals import member_code_unknown

MOST_TOGETHER = 1_000
"""Receipts of one statement, and member codes of one question to identity."""
_MOST_AT_WORK = 4 * MOST_TOGETHER
_MOST_SINGLES = 2 * MOST_TOGETHER
_MOST_BATCHES_WAITING = 16

ResolveCodes = Callable[[Sequence[str]], Awaitable[Mapping[str, ResolvedCode]]]


class PurchaseRecorder:
    """Records purchases.

    Single calls and batches have queues of their own, so that nobody at a till waits for a day that is
    replayed. Codes that are not kept are resolved in a third, so that a slow identity delays only those
    purchases that need it, and a repetition never needs it. Signed codes are never kept. `offline` is how
    long after its end a signed code may be reported.
    """

    def __init__(
        self,
        db: Database,
        balances: Balances,
        resolve_codes: ResolveCodes,
        programme: Programme,
        *,
        offline: timedelta,
    ) -> None:
        self._db = db
        self._balances = balances
        self._resolve_codes = resolve_codes
        self._programme = programme
        self._offline = offline
        self._singles = Batcher("purchases", self._record_batch, max_waiting=_MOST_SINGLES)
        self._batches = Batcher(
            "purchase_batches",
            self._record_batch,
            max_batch=MOST_TOGETHER,
            max_waiting=_MOST_AT_WORK,
            max_parallel=2,  # one is prepared here while the database writes the other
        )
        self._codes = Batcher(
            "member_codes",
            self._resolve_batch,
            max_batch=MOST_TOGETHER,
            max_waiting=_MOST_AT_WORK + _MOST_SINGLES,  # what the other two let in always finds room here
        )
        self.room = Room("purchase_batches", _MOST_AT_WORK, max_waiting=_MOST_BATCHES_WAITING)
        """For callers with many: decoded receipts take memory, so they are decoded in their turn."""

    async def record(self, new: NewPurchase) -> Purchase:
        """Returns the recorded purchase, the same for every repetition.

        Raises RECEIPT_CONFLICT, the purchase's own refusal, MEMBER_CODE_UNKNOWN, MEMBER_CODE_EXPIRED,
        MEMBER_CODE_REPLAYED, BALANCE_LIMIT_REACHED, OVERLOADED, and DEPENDENCY_UNAVAILABLE when identity
        is needed and away.
        """
        (outcome,) = await self._record(self._singles, [new])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def record_all(self, news: Sequence[NewPurchase]) -> Outcomes[Purchase]:
        """Returns what became of each of at most 1,000 purchases: recorded, or the error of `record`."""
        return await self._record(self._batches, news) if news else []

    async def resolve(self, member_code: str) -> SignedCode | None:
        """Returns identity's reading of a signed code; None for a lasting one, which is then kept.

        Raises MEMBER_CODE_UNKNOWN, and DEPENDENCY_UNAVAILABLE when identity is away.
        """
        return await self._codes.submit(member_code)

    async def drain(self) -> None:
        """Waits for what is under way."""
        await self._singles.close()
        await self._batches.close()
        await self._codes.close()

    async def _record(
        self, queue: Batcher[NewPurchase, Recorded], news: Sequence[NewPurchase]
    ) -> Outcomes[Purchase]:
        outcomes = await queue.submit_all(news)
        unknown = [place for place, outcome in enumerate(outcomes) if _is_unknown(outcome, news[place])]
        if unknown:
            codes = list({news[place].member_code for place in unknown})
            resolved = dict(zip(codes, await self._codes.submit_all(codes), strict=True))
            again: dict[int, NewPurchase] = {}
            for place in unknown:
                found = resolved[news[place].member_code]
                if isinstance(found, Exception):
                    outcomes[place] = found
                else:
                    again[place] = self._with_code(news[place], found)
            if again:
                retried = await queue.submit_all(list(again.values()))
                for place, outcome in zip(again, retried, strict=True):
                    outcomes[place] = outcome
        return [one.purchase if isinstance(one, Recorded) else one for one in outcomes]

    def _with_code(self, new: NewPurchase, signed: SignedCode | None) -> NewPurchase:
        if signed is None:
            return new
        refusal = signed.refusal(sold_at=new.sold_at, now=utc_now(), offline=self._offline)
        return replace(new, signed_code=signed, refusal=refusal)

    async def _record_batch(self, batch: list[NewPurchase]) -> list[Answer]:
        expires_at = self._programme.expiry(utc_now())
        # Without signed codes each statement is whole in itself, and a receipt that was recorded is found by
        # a retry: BEGIN and COMMIT would cost two round trips more, with accounts locked.
        together = any(new.signed_code for new in batch)
        execute = self._db.run if together else self._db.run_autocommit
        answers = await execute(record_purchases, batch, expires_at=expires_at)
        await self._balances.changed(a.now for a in answers if isinstance(a, Recorded) and a.now)
        return answers

    async def _resolve_batch(self, codes: list[str]) -> list[SignedCode | DomainError | None]:
        """Keeps the members of lasting codes, and returns what is known of signed ones."""
        found = await self._resolve_codes(sorted(set(codes)))
        lasting = {code: resolved.member_id for code, resolved in found.items() if not resolved.signed}
        if lasting:
            await self._db.run(keep_member_codes, lasting)
        return [found[code].signed if code in found else member_code_unknown() for code in codes]


def _is_unknown(outcome: Recorded | Exception, new: NewPurchase) -> bool:
    """Returns whether the member is not known here, but may be to identity."""
    return (
        isinstance(outcome, DomainError)
        and outcome.reason == "MEMBER_CODE_UNKNOWN"
        and may_be_a_code(new.member_code)
    )
