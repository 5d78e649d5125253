"""Recording purchases at volume: calls that meet share one statement, and new member codes one question."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from services.common.batching import Batcher
from services.common.db import Database
from services.common.errors import DomainError
from services.common.ids import utc_now
from services.points.balances import Balances
from services.points.commands.keep_member_codes import keep_member_codes
from services.points.commands.record_purchases import Answer, record_purchases
from services.points.purchases import (
    NewPurchase,
    Purchase,
    Recorded,
    ResolvedCode,
    SignedCode,
    may_be_a_code,
    member_code_unknown,
)

ResolveCodes = Callable[[Sequence[str]], Awaitable[Mapping[str, ResolvedCode]]]


class PurchaseRecorder:
    """Records purchases.

    Codes that are not kept are resolved in a queue of their own, so that a slow identity delays only
    those purchases that need it, and a repetition never needs it. Signed codes are never kept. `offline`
    is how long after its end a signed code may be reported.
    """

    def __init__(
        self, db: Database, balances: Balances, resolve_codes: ResolveCodes, *, offline: timedelta
    ) -> None:
        self._db = db
        self._balances = balances
        self._resolve_codes = resolve_codes
        self._offline = offline
        self._purchases = Batcher("purchases", self._record_batch)
        self._codes = Batcher("member_codes", self._resolve_batch)

    async def record(self, new: NewPurchase) -> Purchase:
        """The recorded purchase, the same for every repetition.

        Raises RECEIPT_CONFLICT, the purchase's own refusal, MEMBER_CODE_UNKNOWN, MEMBER_CODE_EXPIRED,
        MEMBER_CODE_REPLAYED, BALANCE_LIMIT_REACHED, OVERLOADED, and DEPENDENCY_UNAVAILABLE when identity
        is needed and away.
        """
        try:
            return (await self._purchases.submit(new)).purchase
        except DomainError as error:
            if error.reason != "MEMBER_CODE_UNKNOWN" or not may_be_a_code(new.member_code):
                raise
        signed = await self._codes.submit(new.member_code)
        if signed:
            refusal = signed.refusal(sold_at=new.sold_at, now=utc_now(), offline=self._offline)
            new = replace(new, signed_code=signed, refusal=refusal)
        return (await self._purchases.submit(new)).purchase

    async def drain(self) -> None:
        """Waits for what is under way."""
        await self._purchases.close()
        await self._codes.close()

    async def _record_batch(self, batch: list[NewPurchase]) -> list[Answer]:
        answers = await self._db.run(record_purchases, batch)
        await self._balances.changed(answer.now for answer in answers if isinstance(answer, Recorded))
        return answers

    async def _resolve_batch(self, codes: list[str]) -> list[SignedCode | DomainError | None]:
        """Keeps the members of lasting codes, and answers what is known of signed ones."""
        found = await self._resolve_codes(sorted(set(codes)))
        lasting = {code: resolved.member_id for code, resolved in found.items() if not resolved.signed}
        if lasting:
            await self._db.run(keep_member_codes, lasting)
        return [found[code].signed if code in found else member_code_unknown() for code in codes]
