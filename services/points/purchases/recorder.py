"""Recording purchases at volume: what comes together shares a statement, and new codes one question."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from services.common.batching import Batcher, Outcomes, Room
from services.common.db import Database
from services.common.errors import DomainError
from services.common.ids import utc_now
from services.points.balances import Balances
from services.points.members import keep_member_codes, suspended_among
from services.points.programme import Programme
from services.points.purchases.commands import Answer, record_purchases
from services.points.purchases.member_codes import ResolvedCode, SignedCode, may_be_a_code
from services.points.purchases.purchase import Claim, NewPurchase, Purchase, Recorded, new_claim_code
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
    purchases that need it, and a repetition never needs it. Signed codes are never kept. The receipt of a
    member who is suspended is recorded without a member. `offline` is how long after its end a signed code
    may be reported.
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

        Raises MEMBER_CODE_UNKNOWN, also for a member who is suspended, and DEPENDENCY_UNAVAILABLE when
        identity is away.
        """
        resolved = await self._codes.submit(member_code)
        if resolved.suspended:
            raise member_code_unknown()
        return resolved.signed

    async def drain(self) -> None:
        """Waits for what is under way."""
        await self._singles.close()
        await self._batches.close()
        await self._codes.close()

    async def _record(
        self, queue: Batcher[NewPurchase, Recorded], news: Sequence[NewPurchase]
    ) -> Outcomes[Purchase]:
        outcomes = await queue.submit_all(news)
        unknown = {place: new for place, new in enumerate(news) if _is_unknown(outcomes[place], new)}
        if unknown:
            await self._record_resolved(queue, unknown, outcomes)
        return [one.purchase if isinstance(one, Recorded) else one for one in outcomes]

    async def _record_resolved(
        self,
        queue: Batcher[NewPurchase, Recorded],
        unknown: Mapping[int, NewPurchase],
        outcomes: Outcomes[Recorded],
    ) -> None:
        """Asks identity whose codes these are, tries again, and puts what became of them in its place.

        Whom identity calls active may be suspended by what points was told since: then the code is not kept,
        nor taken, and the receipt is recorded without a member.
        """
        codes = list({new.member_code for new in unknown.values()})
        resolved = dict(zip(codes, await self._codes.submit_all(codes), strict=True))
        owners: dict[int, UUID] = {}
        again: dict[int, NewPurchase] = {}
        for place, new in unknown.items():
            found = resolved[new.member_code]
            if isinstance(found, Exception):
                outcomes[place] = found
            else:
                owners[place] = found.member_id
                again[place] = self._with_code(new, found)
        await _submit(queue, again, outcomes)
        out = [place for place, new in again.items() if _is_unknown(outcomes[place], new)]
        if out:
            suspended = await self._db.read(suspended_among, [owners[place] for place in out])
            without = {p: self._without_member(again[p]) for p in out if owners[p] in suspended}
            await _submit(queue, without, outcomes)

    def _with_code(self, new: NewPurchase, resolved: ResolvedCode) -> NewPurchase:
        signed = resolved.signed
        if signed:
            refusal = signed.refusal(sold_at=new.sold_at, now=utc_now(), offline=self._offline)
            new = replace(new, signed_code=signed, refusal=refusal)
        return self._without_member(new) if resolved.suspended else new

    def _without_member(self, new: NewPurchase) -> NewPurchase:
        """Returns the receipt of a member who is suspended; a signed code of such a one is not used up."""
        claim = Claim(new_claim_code(), self._programme.claim_until(new.sold_at), member_suspended=True)
        return replace(new, signed_code=None, claim=claim)

    async def _record_batch(self, batch: list[NewPurchase]) -> list[Answer]:
        expires_at = self._programme.expiry(utc_now())
        # Without signed codes each statement is whole in itself, and a receipt that was recorded is found by
        # a retry: BEGIN and COMMIT would cost two round trips more, with accounts locked.
        together = any(new.signed_code for new in batch)
        execute = self._db.run if together else self._db.run_autocommit
        answers = await execute(record_purchases, batch, expires_at=expires_at)
        await self._balances.changed(a.now for a in answers if isinstance(a, Recorded) and a.now)
        return answers

    async def _resolve_batch(self, codes: list[str]) -> list[ResolvedCode | DomainError]:
        """Returns whose codes these are, and keeps the lasting ones of active members."""
        found = await self._resolve_codes(sorted(set(codes)))
        lasting = {
            code: resolved.member_id
            for code, resolved in found.items()
            if not resolved.signed and not resolved.suspended
        }
        if lasting:
            await self._db.run(keep_member_codes, lasting)
        return [found.get(code) or member_code_unknown() for code in codes]


async def _submit(
    queue: Batcher[NewPurchase, Recorded], news: Mapping[int, NewPurchase], outcomes: Outcomes[Recorded]
) -> None:
    """Records purchases, and puts what became of them in their places."""
    if news:
        retried = await queue.submit_all(list(news.values()))
        for place, outcome in zip(news, retried, strict=True):
            outcomes[place] = outcome


def _is_unknown(outcome: Recorded | Exception, new: NewPurchase) -> bool:
    """Returns whether the member is not known here, but may be to identity."""
    return (
        isinstance(outcome, DomainError)
        and outcome.reason == "MEMBER_CODE_UNKNOWN"
        and may_be_a_code(new.member_code)
    )
