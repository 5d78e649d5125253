"""Earn rules as protobuf has them, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from scrip.common.v1 import money_pb2
from scrip.points.v1 import earn_effect_pb2, earn_rule_pb2

from services.common.encoding import moment, read_text, refuse_nul, timestamp
from services.common.errors import invalid_field
from services.points.earning.applied import Applied
from services.points.earning.commands import NewRule, RuleChanges
from services.points.earning.dry_run import CountedLine, Explanation
from services.points.earning.kinds import BaseRate, Effect, Exclusion, FirstPurchaseBonus, Multiplier, Rate
from services.points.earning.queries import RuleRow

_WithEffect = earn_rule_pb2.CreateEarnRuleRequest | earn_rule_pb2.UpdateEarnRuleRequest


def new_rule(request: earn_rule_pb2.CreateEarnRuleRequest) -> NewRule:
    """Returns the rule that is asked for. Raises VALIDATION_FAILED."""
    return NewRule(
        name=read_text(request.name, "name"),
        effect=_effect(request),
        priority=request.priority,
        starts_at=moment(request, "starts_at"),
        ends_at=moment(request, "ends_at"),
        enabled=not request.disabled,
    )


def changes(request: earn_rule_pb2.UpdateEarnRuleRequest) -> RuleChanges:
    """Returns what an update asks for. Raises VALIDATION_FAILED for a field that is given and emptied."""
    for field in request.clear:
        if request.HasField(field):  # type: ignore[arg-type]  # one of two fields, by validation
            raise invalid_field("clear", f"{field} can not be given and emptied at once")
    return RuleChanges(
        name=read_text(request.name, "name") if request.HasField("name") else None,
        effect=_effect(request) if request.WhichOneof("effect") else None,
        priority=request.priority if request.HasField("priority") else None,
        starts_at=moment(request, "starts_at"),
        ends_at=moment(request, "ends_at"),
        enabled=request.enabled if request.HasField("enabled") else None,
        clear=list(request.clear),
    )


def kind_filter(kind: earn_rule_pb2.EarnRuleKind.ValueType) -> str | None:
    """Returns the kind that a list is asked for, as it is stored; None is every kind."""
    if kind == earn_rule_pb2.EARN_RULE_KIND_UNSPECIFIED:
        return None
    return earn_rule_pb2.EarnRuleKind.Name(kind).removeprefix("EARN_RULE_KIND_")


def rule(row: RuleRow) -> earn_rule_pb2.EarnRule:
    """Returns a rule as protobuf has it."""
    kept = row.rule
    encoded = earn_rule_pb2.EarnRule(
        id=str(kept.id),
        name=kept.name,
        priority=kept.priority,
        starts_at=timestamp(kept.starts_at),
        ends_at=timestamp(kept.ends_at),
        enabled=row.enabled,
        etag=row.etag,
        created_at=timestamp(row.created_at),
        updated_at=timestamp(row.updated_at),
    )
    match kept.effect:
        case BaseRate(rate):
            encoded.base_rate.points = rate.points
            encoded.base_rate.per_minor = rate.per_minor
        case Exclusion(categories):
            encoded.exclusion.categories.extend(categories)
        case Multiplier(percent, categories):
            encoded.multiplier.percent = percent
            encoded.multiplier.categories.extend(categories)
        case FirstPurchaseBonus(points):
            encoded.first_purchase_bonus.points = points
        case _:
            assert_never(kept.effect)
    return encoded


def set_applied(encoded: earn_effect_pb2.AppliedRule, applied: Applied) -> None:
    """Writes a rule that held in its place."""
    if applied.rule_id:
        encoded.earn_rule_id = str(applied.rule_id)
        encoded.name = applied.name
    match applied.effect:
        case BaseRate(rate):
            encoded.base_rate.points = rate.points
            encoded.base_rate.per_minor = rate.per_minor
        case Exclusion():
            encoded.exclusion = True
        case Multiplier(percent):
            encoded.multiplier_percent = percent
        case FirstPurchaseBonus(points):
            encoded.first_purchase_bonus.points = points
        case _:
            assert_never(applied.effect)


def dry_run(explained: Explanation, currency_code: str) -> earn_rule_pb2.DryRunPurchaseResponse:
    """Returns what a receipt would earn, and why, as protobuf has it."""

    def money(amount_minor: int) -> money_pb2.Money:
        return money_pb2.Money(currency_code=currency_code, amount_minor=amount_minor)

    judged = explained.judged
    reply = earn_rule_pb2.DryRunPurchaseResponse(
        points=judged.points + explained.bonus,
        bonus_points=explained.bonus,
        total=money(judged.total_minor),
        eligible=money(judged.eligible_minor),
    )
    for applied in explained.applied:
        set_applied(reply.applied_rules.add(), applied)
    for number, line in enumerate(explained.lines, 1):
        encoded = reply.lines.add(
            line=number, amount=money(line.amount_minor), earn_percent=line.counted.percent
        )
        _set_why(encoded, line)
    return reply


def _set_why(encoded: earn_rule_pb2.DryRunLine, line: CountedLine) -> None:
    if line.alcohol:
        encoded.alcohol = True
    elif line.counted.rule is None:
        encoded.in_full = True
    elif line.counted.percent:
        encoded.multiplying_earn_rule_id = str(line.counted.rule.id)
    else:
        encoded.excluding_earn_rule_id = str(line.counted.rule.id)


def _effect(request: _WithEffect) -> Effect:
    """Returns the effect in a request, which has one."""
    match request.WhichOneof("effect"):
        case "base_rate":
            return BaseRate(Rate(request.base_rate.points, request.base_rate.per_minor))
        case "exclusion":
            return Exclusion(_categories(request.exclusion.categories, "exclusion"))
        case "multiplier":
            categories = _categories(request.multiplier.categories, "multiplier")
            return Multiplier(request.multiplier.percent, categories)
        case "first_purchase_bonus":
            return FirstPurchaseBonus(request.first_purchase_bonus.points)
        case None:
            raise AssertionError("the contract requires one of these")
        case other:
            assert_never(other)


def _categories(given: Iterable[str], field: str) -> tuple[str, ...]:
    categories = tuple(given)
    for index, category in enumerate(categories):
        refuse_nul(**{f"{field}.categories[{index}]": category})
    return categories
