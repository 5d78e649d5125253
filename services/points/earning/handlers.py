"""EarnRuleService: what purchases earn, as staff manage it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from scrip.points.v1 import earn_rule_pb2

from services.common.caller import caller
from services.common.db import Connection, Database
from services.common.encoding import Context, moment, refuse_nul
from services.common.idempotent import idempotent
from services.common.ids import utc_now
from services.common.list_pages import read_page
from services.points.earning import encoding, queries
from services.points.earning.commands import create_earn_rule, delete_earn_rule, update_earn_rule
from services.points.earning.dry_run import explain
from services.points.earning.rule_book import RuleBook
from services.points.earning.rule_sets import RuleSet
from services.points.earning.terms import Item, Terms
from services.points.programme import Programme


class EarnRuleHandlers:
    """Implements EarnRuleService."""

    def __init__(self, db: Database, programme: Programme, rules: RuleBook) -> None:
        self._db = db
        self._programme = programme
        self._rules = rules

    async def CreateEarnRule(
        self, request: earn_rule_pb2.CreateEarnRuleRequest, context: Context
    ) -> earn_rule_pb2.CreateEarnRuleResponse:
        """Makes a rule, once per key when there is one."""
        actor, new = caller(), encoding.new_rule(request)

        async def create(connection: Connection) -> earn_rule_pb2.CreateEarnRuleResponse:
            made = await create_earn_rule(connection, actor=actor, new=new)
            return earn_rule_pb2.CreateEarnRuleResponse(rule=encoding.rule(made))

        return await idempotent(
            self._db, context, request, earn_rule_pb2.CreateEarnRuleResponse, create, required=False
        )

    async def GetEarnRule(
        self, request: earn_rule_pb2.GetEarnRuleRequest, context: Context
    ) -> earn_rule_pb2.GetEarnRuleResponse:
        """Returns one rule."""
        row = await self._db.read(queries.get_earn_rule, UUID(request.earn_rule_id))
        return earn_rule_pb2.GetEarnRuleResponse(rule=encoding.rule(row))

    async def ListEarnRules(
        self, request: earn_rule_pb2.ListEarnRulesRequest, context: Context
    ) -> earn_rule_pb2.ListEarnRulesResponse:
        """Returns a page of rules."""
        refuse_nul(query=request.query)
        page = await read_page(
            self._db,
            queries.EARN_RULES,
            request,
            order_by=request.order_by,
            enabled=request.enabled if request.HasField("enabled") else None,
            kind=encoding.kind_filter(request.kind),
            query=request.query or None,
        )
        return earn_rule_pb2.ListEarnRulesResponse(
            rules=[encoding.rule(row.rule_row) for row in page.rows],
            next_page_token=page.next_page_token,
            total=page.total,
        )

    async def UpdateEarnRule(
        self, request: earn_rule_pb2.UpdateEarnRuleRequest, context: Context
    ) -> earn_rule_pb2.UpdateEarnRuleResponse:
        """Changes what is given, empties what is named."""
        row = await self._db.run(
            update_earn_rule,
            actor=caller(),
            rule_id=UUID(request.earn_rule_id),
            etag=request.etag,
            changes=encoding.changes(request),
        )
        return earn_rule_pb2.UpdateEarnRuleResponse(rule=encoding.rule(row))

    async def DeleteEarnRule(
        self, request: earn_rule_pb2.DeleteEarnRuleRequest, context: Context
    ) -> earn_rule_pb2.DeleteEarnRuleResponse:
        """Takes a rule out of force."""
        await self._db.run(
            delete_earn_rule, actor=caller(), rule_id=UUID(request.earn_rule_id), etag=request.etag
        )
        return earn_rule_pb2.DeleteEarnRuleResponse()

    async def DryRunPurchase(
        self, request: earn_rule_pb2.DryRunPurchaseRequest, context: Context
    ) -> earn_rule_pb2.DryRunPurchaseResponse:
        """Judges a receipt and records nothing."""
        terms = await self._terms_at(moment(request, "sold_at") or utc_now())
        items = [
            Item(i.sku, i.name, i.category, i.unit_price_minor, i.quantity, i.alcohol) for i in request.items
        ]
        explained = explain(terms, items, first_purchase=request.first_purchase)
        currency = request.currency_code or self._programme.currency_code
        refusal = self._programme.refusal_of_amounts(
            currency_code=currency,
            total_minor=explained.judged.total_minor,
            points=explained.judged.points + explained.bonus,
        )
        if refusal:
            raise refusal
        return encoding.dry_run(explained, currency)

    async def _terms_at(self, moment: datetime) -> Terms:
        """Uses the rules as they stand in the database, so that a change is seen at once."""
        rules = await self._db.read(queries.enabled_rules)
        return RuleSet(0, self._rules.current.default, rules).at(moment)
