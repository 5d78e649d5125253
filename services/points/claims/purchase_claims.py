"""Claiming purchases that were recorded without a member: at the till, or by the code on the receipt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from uuid import UUID

from services.common.codes import ALPHABET, read_code
from services.common.db import Database
from services.common.errors import DomainError
from services.common.idempotency import fingerprint
from services.common.ids import utc_now
from services.common.throttle import Limit, Throttle
from services.points.balances import Balances
from services.points.claims.commands import Claimant, ShownCode, claim_purchase
from services.points.claims.refusals import claim_code_not_valid
from services.points.earning import RuleBook
from services.points.members import get_member_of_code
from services.points.programme import CLOCK_LEEWAY, Programme
from services.points.purchases import (
    CLAIM_CODE_LENGTH,
    Purchase,
    PurchaseHead,
    ReceiptKey,
    SignedCode,
    find_claimable_head,
    find_purchase_head,
    may_be_a_code,
    member_code_unknown,
    read_member_code,
)

WRONG_CODES = Limit("wrong_claim_codes_per_member", 10, 600)

ResolveCode = Callable[[str], Awaitable[SignedCode | None]]


class PurchaseClaims:
    """Gives purchases to members. `resolve_code` asks identity for a member code that is not kept."""

    def __init__(
        self,
        db: Database,
        balances: Balances,
        *,
        resolve_code: ResolveCode,
        programme: Programme,
        rules: RuleBook,
        throttle: Throttle,
    ) -> None:
        self._db = db
        self._balances = balances
        self._resolve_code = resolve_code
        self._programme = programme
        self._rules = rules
        self._throttle = throttle

    async def by_receipt(self, key: ReceiptKey, member_code: str) -> Purchase:
        """Claims a till's receipt for the member whose code was shown; a repetition gets the same result.

        The receipt is looked up before the code, which may be over when the till asks again.

        Raises PURCHASE_NOT_FOUND, PURCHASE_CLAIMED, CLAIM_EXPIRED, MEMBER_CODE_UNKNOWN,
        MEMBER_CODE_EXPIRED, MEMBER_CODE_REPLAYED, BALANCE_LIMIT_REACHED, and DEPENDENCY_UNAVAILABLE when
        identity is needed and away.
        """
        head = await self._db.read(find_purchase_head, key)
        code = read_member_code(member_code)
        shown = fingerprint(code.encode())
        if head.claimed_by and head.claimed_with == shown:
            return await self._claim(head, Claimant(head.claimed_by, ShownCode(shown, None)))
        member_id, signed = await self._member(code)
        return await self._claim(head, Claimant(member_id, ShownCode(shown, signed)))

    async def by_claim_code(self, member_id: UUID, claim_code: str) -> Purchase:
        """Claims a receipt for the member who has its code; a repetition gets the same result.

        Raises CLAIM_CODE_NOT_VALID, also for a code that another has used, CLAIM_EXPIRED,
        BALANCE_LIMIT_REACHED, and TOO_MANY_REQUESTS after ten codes within ten minutes that were not valid.
        """
        await self._throttle.check(WRONG_CODES, str(member_id))
        try:
            head = await self._head(_read_claim_code(claim_code))
            return await self._claim(head, Claimant(member_id))
        except DomainError as error:
            if error.reason == "CLAIM_CODE_NOT_VALID":
                await self._throttle.hit(WRONG_CODES, str(member_id))
            raise

    async def _head(self, claim_code: str) -> PurchaseHead:
        try:
            return await self._db.read(find_claimable_head, claim_code)
        except DomainError as error:
            if error.reason == "PURCHASE_NOT_FOUND":
                raise claim_code_not_valid() from error
            raise

    async def _claim(self, head: PurchaseHead, claimant: Claimant) -> Purchase:
        terms = (await self._rules.get(head.rule_set_id)).at(head.sold_at)
        claimed = await self._db.run(
            claim_purchase,
            head.id,
            claimant,
            bonus=terms.bonus,
            expires_at=self._programme.expiry(utc_now()),
        )
        await self._balances.changed([claimed.now])
        return claimed.purchase

    async def _member(self, code: str) -> tuple[UUID, SignedCode | None]:
        """Returns whose a code is, which must be good at this moment."""
        kept = await self._db.read(get_member_of_code, code)
        if kept:
            return kept, None
        if not may_be_a_code(code):
            raise member_code_unknown()
        signed = await self._resolve_code(code)
        if signed:
            _require_good(signed, utc_now())
            return signed.member_id, signed
        kept = await self._db.read(get_member_of_code, code)
        if kept is None:  # suspended or gone at this very moment
            raise member_code_unknown()
        return kept, None


def _require_good(signed: SignedCode, now: datetime) -> None:
    if not signed.issued_at - CLOCK_LEEWAY <= now <= signed.expires_at:
        raise DomainError("MEMBER_CODE_EXPIRED", "the code is not good any more; scan a new one")


def _read_claim_code(written: str) -> str:
    """Returns a claim code as it was made. Raises CLAIM_CODE_NOT_VALID for what can not be one."""
    code = read_code(written)
    if len(code) != CLAIM_CODE_LENGTH or not set(code) <= set(ALPHABET):
        raise claim_code_not_valid()
    return code
