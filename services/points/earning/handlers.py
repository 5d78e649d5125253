"""EarnRuleService: what purchases earn, as staff manage it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from scrip.common.v1 import money_pb2
from scrip.points.v1 import earn_rule_pb2, earn_rule_pb2_grpc

from services.common.caller import caller
from services.common.encoding import Context, header, moment, timestamp
from services.common.errors import invalid_field
from services.common.idempotency import parse_key, run_once
from services.common.ids import utc_now
from services.common.legacy_db import Connection, Database
from services.common.paging import Page
from services.points.earning import queries as earn_rules
from services.points.earning.commands.create_earn_rule import NewRule, create_earn_rule
from services.points.earning.commands.delete_earn_rule import delete_earn_rule
from services.points.earning.commands.update_earn_rule import RuleChanges, update_earn_rule
from services.points.earning.dry_run import Explanation, explain
from services.points.earning.earning import BASE_RATE, BONUS, EXCLUSION, MULTIPLIER, RuleSet, Terms
from services.points.earning.queries import RuleRow
from services.points.earning.rule_book import RuleBook
from services.points.programme import Programme
from services.points.purchases.purchase import Item

_WithEffect = earn_rule_pb2.CreateEarnRuleRequest | earn_rule_pb2.UpdateEarnRuleRequest


class EarnRuleHandlers(earn_rule_pb2_grpc.EarnRuleServiceServicer):
    """Implements EarnRuleService."""

    def __init__(self, db: Database, programme: Programme, rules: RuleBook) -> None:
        self._db = db
        self._programme = programme
        self._rules = rules

    async def CreateEarnRule(
        self, request: earn_rule_pb2.CreateEarnRuleRequest, context: Context
    ) -> earn_rule_pb2.CreateEarnRuleResponse:
        """Makes a rule, once per key when there is one."""
        actor = caller()
        key = parse_key(header(context, "idempotency-key"), required=False)
        kind, effect = _effect(request)
        new = NewRule(
            _name(request.name),
            kind,
            effect,
            request.priority,
            moment(request, "starts_at"),
            moment(request, "ends_at"),
            not request.disabled,
        )

        async def create(connection: Connection) -> bytes:
            row = await create_earn_rule(connection, actor=actor, new=new)
            return earn_rule_pb2.CreateEarnRuleResponse(rule=_rule(row)).SerializeToString()

        content = request.SerializeToString(deterministic=True)
        reply = await self._db.run(run_once, (actor.subject, "CreateEarnRule", key), content, create)
        return earn_rule_pb2.CreateEarnRuleResponse.FromString(reply)

    async def GetEarnRule(
        self, request: earn_rule_pb2.GetEarnRuleRequest, context: Context
    ) -> earn_rule_pb2.GetEarnRuleResponse:
        """One rule."""
        row = await self._db.read(earn_rules.get_earn_rule, UUID(request.rule_id))
        return earn_rule_pb2.GetEarnRuleResponse(rule=_rule(row))

    async def ListEarnRules(
        self, request: earn_rule_pb2.ListEarnRulesRequest, context: Context
    ) -> earn_rule_pb2.ListEarnRulesResponse:
        """A page of rules."""
        enabled = request.enabled if request.HasField("enabled") else None
        page = Page(request.page_size, request.page_token, "earn_rules", enabled)
        rows, next_token = await self._db.read(earn_rules.list_earn_rules, page, enabled=enabled)
        return earn_rule_pb2.ListEarnRulesResponse(
            rules=[_rule(row) for row in rows], next_page_token=next_token
        )

    async def UpdateEarnRule(
        self, request: earn_rule_pb2.UpdateEarnRuleRequest, context: Context
    ) -> earn_rule_pb2.UpdateEarnRuleResponse:
        """Changes what is given, empties what is named."""
        row = await self._db.run(
            update_earn_rule,
            actor=caller(),
            rule_id=UUID(request.rule_id),
            etag=request.etag,
            changes=_changes(request),
        )
        return earn_rule_pb2.UpdateEarnRuleResponse(rule=_rule(row))

    async def DeleteEarnRule(
        self, request: earn_rule_pb2.DeleteEarnRuleRequest, context: Context
    ) -> earn_rule_pb2.DeleteEarnRuleResponse:
        """Takes a rule out of force."""
        await self._db.run(delete_earn_rule, actor=caller(), rule_id=UUID(request.rule_id))
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
        return _dry_run(explained, currency)

    async def _terms_at(self, moment: datetime) -> Terms:
        """By the rules as they stand in the database: whoever changed one sees it at once, at any time."""
        rules = await self._db.read(earn_rules.enabled_rules)
        return RuleSet(0, self._rules.current.default, rules).at(moment)


def _name(text: str) -> str:
    name = text.strip()
    if not name or "\0" in name:
        raise invalid_field("name", "must not be blank and have no NUL character")
    return name


def _effect(request: _WithEffect) -> tuple[str, dict[str, Any]]:
    """The effect in a request, which has one."""
    field = request.WhichOneof("effect")
    match field:
        case "base_rate":
            effect = {"points": request.base_rate.points, "per_minor": request.base_rate.per_minor}
            return BASE_RATE, effect
        case "exclusion":
            return EXCLUSION, {"categories": _categories(request.exclusion.categories, "exclusion")}
        case "multiplier":
            categories = _categories(request.multiplier.categories, "multiplier")
            return MULTIPLIER, {"percent": request.multiplier.percent, "categories": categories}
        case "first_purchase_bonus":
            return BONUS, {"points": request.first_purchase_bonus.points}
    raise AssertionError("the contract requires one of these")


def _categories(given: Iterable[str], field: str) -> list[str]:
    categories = list(given)
    for index, category in enumerate(categories):
        if "\0" in category:
            raise invalid_field(f"{field}.categories[{index}]", "must not contain a NUL character")
    return categories


def _changes(request: earn_rule_pb2.UpdateEarnRuleRequest) -> RuleChanges:
    for field in request.clear:
        if request.HasField(field):  # type: ignore[arg-type]  # one of two fields, by validation
            raise invalid_field("clear", f"{field} can not be given and emptied at once")
    kind, effect = _effect(request) if request.WhichOneof("effect") else (None, None)
    return RuleChanges(
        name=_name(request.name) if request.HasField("name") else None,
        kind=kind,
        effect=effect,
        priority=request.priority if request.HasField("priority") else None,
        starts_at=moment(request, "starts_at"),
        ends_at=moment(request, "ends_at"),
        enabled=request.enabled if request.HasField("enabled") else None,
        clear=list(request.clear),
    )


def _rule(row: RuleRow) -> earn_rule_pb2.EarnRule:
    rule, effect = row.rule, row.rule.effect
    encoded = earn_rule_pb2.EarnRule(
        id=str(rule.id),
        name=rule.name,
        priority=rule.priority,
        starts_at=timestamp(rule.starts_at),
        ends_at=timestamp(rule.ends_at),
        enabled=row.enabled,
        etag=row.etag,
        created_at=timestamp(row.created_at),
        updated_at=timestamp(row.updated_at),
    )
    match rule.kind:
        case "BASE_RATE":
            encoded.base_rate.MergeFrom(earn_rule_pb2.BaseRate(**effect))
        case "EXCLUSION":
            encoded.exclusion.MergeFrom(earn_rule_pb2.Exclusion(**effect))
        case "MULTIPLIER":
            encoded.multiplier.MergeFrom(earn_rule_pb2.Multiplier(**effect))
        case "FIRST_PURCHASE_BONUS":
            encoded.first_purchase_bonus.MergeFrom(earn_rule_pb2.FirstPurchaseBonus(**effect))
    return encoded


def _dry_run(explained: Explanation, currency_code: str) -> earn_rule_pb2.DryRunPurchaseResponse:
    def money(amount_minor: int) -> money_pb2.Money:
        return money_pb2.Money(currency_code=currency_code, amount_minor=amount_minor)

    judged = explained.judged
    return earn_rule_pb2.DryRunPurchaseResponse(
        points=judged.points + explained.bonus,
        bonus_points=explained.bonus,
        total=money(judged.total_minor),
        eligible=money(judged.eligible_minor),
        applied_rules=[
            earn_rule_pb2.AppliedRule(
                rule_id=str(applied.rule_id or ""), name=applied.name, effect=applied.effect
            )
            for applied in explained.applied
        ],
        lines=[
            earn_rule_pb2.DryRunLine(
                line=number, amount=money(line.amount_minor), earn_percent=line.percent, why=line.why
            )
            for number, line in enumerate(explained.lines, 1)
        ],
    )
