"""What the tests of earn rules share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import grpc
from google.protobuf import timestamp_pb2
from google.rpc import error_details_pb2
from scrip.points.v1 import earn_effect_pb2, earn_rule_pb2, earn_rule_pb2_grpc, purchase_pb2

from services.common.ids import new_id
from services.points.tests.support import Points, receipt, sold
from tests.inprocess import bearer, eventually, refused_status

T = TypeVar("T")
PLAIN = "1 per 1000 minor units"
DOUBLE_DAIRY = earn_effect_pb2.Multiplier(percent=200, categories=["Dairy"])
WELCOME = earn_effect_pb2.FirstPurchaseBonus(points=50)


def item(category: str, price: int = 1_000, *, alcohol: bool = False) -> purchase_pb2.PurchaseItem:
    return purchase_pb2.PurchaseItem(
        sku="4711", name="Something", category=category, unit_price_minor=price, quantity=1, alcohol=alcohol
    )


@dataclass
class Staff:
    """Staff who manage rules, and clear up after themselves."""

    points: Points
    token: str
    made: list[str] = field(default_factory=list)

    @property
    def stub(self) -> earn_rule_pb2_grpc.EarnRuleServiceStub:
        """The service."""
        return earn_rule_pb2_grpc.EarnRuleServiceStub(self.points.channel)

    async def create(self, *, key: str | None = None, **fields: Any) -> earn_rule_pb2.EarnRule:
        """Creates a rule: a multiplier for dairy, when nothing else is given."""
        effect = {"multiplier": DOUBLE_DAIRY}
        if fields.keys() & {"base_rate", "exclusion", "multiplier", "first_purchase_bonus"}:
            effect = {}
        wanted = {"name": f"Rule {new_id()}", **effect, **fields}
        request = earn_rule_pb2.CreateEarnRuleRequest(**wanted)
        metadata = bearer(self.token, **({"idempotency_key": key} if key else {}))
        made = (await self.stub.CreateEarnRule(request, metadata=metadata)).rule
        self.made.append(made.id)
        return made

    async def get(self, rule_id: str) -> earn_rule_pb2.EarnRule:
        """Reads a rule."""
        request = earn_rule_pb2.GetEarnRuleRequest(earn_rule_id=rule_id)
        return (await self.stub.GetEarnRule(request, metadata=bearer(self.token))).rule

    async def list(self, **fields: Any) -> earn_rule_pb2.ListEarnRulesResponse:
        """Returns a page of rules."""
        request = earn_rule_pb2.ListEarnRulesRequest(**fields)
        return await self.stub.ListEarnRules(request, metadata=bearer(self.token))

    async def update(self, rule_id: str, **fields: Any) -> earn_rule_pb2.EarnRule:
        """Changes a rule."""
        request = earn_rule_pb2.UpdateEarnRuleRequest(earn_rule_id=rule_id, **fields)
        return (await self.stub.UpdateEarnRule(request, metadata=bearer(self.token))).rule

    async def delete(self, rule_id: str, etag: str = "") -> None:
        """Deletes a rule."""
        request = earn_rule_pb2.DeleteEarnRuleRequest(earn_rule_id=rule_id, etag=etag)
        await self.stub.DeleteEarnRule(request, metadata=bearer(self.token))

    async def dry_run(
        self, *items: purchase_pb2.PurchaseItem, **fields: Any
    ) -> earn_rule_pb2.DryRunPurchaseResponse:
        """Returns what a receipt would earn."""
        request = earn_rule_pb2.DryRunPurchaseRequest(items=items, **fields)
        return await self.stub.DryRunPurchase(request, metadata=bearer(self.token))

    async def bought(self, *items: purchase_pb2.PurchaseItem, **fields: Any) -> purchase_pb2.Purchase:
        """Returns a purchase by a new member."""
        member = await self.points.platform.member()
        return (await self.points.record(receipt(member.code, *items, **fields))).purchase

    async def in_force(
        self, words: str, *items: purchase_pb2.PurchaseItem, seconds: float = 20.0
    ) -> purchase_pb2.Purchase:
        """Returns the first purchase of these items that is judged in these words, within so many seconds."""

        async def judged() -> purchase_pb2.Purchase:
            purchase = await self.bought(*items)
            assert words_of(purchase) == words
            return purchase

        return await eventually(judged, seconds)

    async def clear(self) -> None:
        """Deletes what was made, and waits until nothing is in force."""
        for rule_id in self.made:
            request = earn_rule_pb2.DeleteEarnRuleRequest(earn_rule_id=rule_id)
            try:
                await self.stub.DeleteEarnRule(request, metadata=bearer(self.token))
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.NOT_FOUND  # noqa: PT017  # the test deleted it itself
        newest = "SELECT max(id) FROM earn_rule_sets"
        [(cleared,)] = await self.points.rows(newest)

        async def plain() -> None:
            purchase = await self.bought()
            query = "SELECT rule_set_id FROM purchases WHERE id = %(id)s::uuid"
            assert await self.points.rows(query, id=purchase.id) == [(cleared,)]
            assert words_of(purchase) == PLAIN

        if self.made:
            await eventually(plain)


def words_of(purchase: purchase_pb2.Purchase) -> str:
    """Returns the rules of a purchase in words, such as `1 per 1000 minor units; 200 % by Dairy week`.

    The bonus is not among them.
    """
    rate, *others = purchase.applied_rules
    words = f"{rate.base_rate.points} per {rate.base_rate.per_minor} minor units"
    if rate.earn_rule_id:
        words += f" by {rate.name}"
    told = {
        "exclusion": [f"none by {rule.name}" for rule in others if rule.exclusion],
        "multiplier": [
            f"{rule.multiplier_percent} % by {rule.name}" for rule in others if rule.multiplier_percent
        ],
    }
    return "; ".join([words, *sorted(told["multiplier"] + told["exclusion"])])


def at(moment: datetime) -> timestamp_pb2.Timestamp:
    """Returns a moment as protobuf has it."""
    return sold(moment)


async def at_once(calls: Iterable[Awaitable[T]]) -> tuple[list[T], list[BaseException]]:
    """Replies and errors of calls made at the same time."""
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    errors = [each for each in outcomes if isinstance(each, BaseException)]
    return [each for each in outcomes if not isinstance(each, BaseException)], errors


async def refused_fields(call: Awaitable[object]) -> set[str]:
    """Returns the fields that a call was refused for."""
    status, code = await refused_status(call)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    violations = error_details_pb2.BadRequest()
    assert any(detail.Unpack(violations) for detail in status.details)
    return {violation.field for violation in violations.field_violations}
