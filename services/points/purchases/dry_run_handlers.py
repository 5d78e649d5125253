"""EarnRuleService: what a receipt would earn. Nothing is recorded, and no member code is kept or used up."""

from __future__ import annotations

from uuid import UUID

from scrip.points.v1 import earn_rule_pb2

from services.common.db import Database
from services.common.encoding import Context, moment
from services.common.ids import utc_now
from services.points.earning import RuleBook, explain
from services.points.earning import encoding as earning
from services.points.ledger import first_bonus_is_due
from services.points.members import get_member_of_code
from services.points.programme import Programme
from services.points.purchases.member_codes import may_be_a_code, read_member_code
from services.points.purchases.receipts import items_of
from services.points.purchases.recorder import ResolveCodes
from services.points.purchases.refusals import member_code_unknown


class DryRunHandlers:
    """Implements DryRunPurchase of EarnRuleService."""

    def __init__(
        self, db: Database, programme: Programme, rules: RuleBook, resolve_codes: ResolveCodes
    ) -> None:
        self._db = db
        self._programme = programme
        self._rules = rules
        self._resolve_codes = resolve_codes

    async def DryRunPurchase(
        self, request: earn_rule_pb2.DryRunPurchaseRequest, context: Context
    ) -> earn_rule_pb2.DryRunPurchaseResponse:
        """Judges a receipt and records nothing."""
        sold_at = moment(request, "sold_at") or utc_now()
        first_purchase, suspended = request.first_purchase, False
        if request.member_code:
            member_id = await self._active_member(read_member_code(request.member_code))
            suspended = member_id is None
            first_purchase = member_id is not None and await self._db.read(first_bonus_is_due, member_id)
        terms = (await self._rules.newest()).at(sold_at)
        explained = explain(terms, items_of(request.items), first_purchase=first_purchase)
        currency = request.currency_code or self._programme.currency_code
        refusal = self._programme.refusal_of_amounts(
            currency_code=currency,
            total_minor=explained.judged.total_minor,
            points=explained.judged.points + explained.bonus,
        )
        if refusal:
            raise refusal
        reply = earning.dry_run(explained, currency)
        reply.member_suspended = suspended
        return reply

    async def _active_member(self, code: str) -> UUID | None:
        """Returns whose a code is, None of one who is suspended. Raises MEMBER_CODE_UNKNOWN."""
        kept = await self._db.read(get_member_of_code, code)
        if kept:
            return kept
        found = (await self._resolve_codes([code])).get(code) if may_be_a_code(code) else None
        if found is None:
            raise member_code_unknown()
        return None if found.suspended else found.member_id
