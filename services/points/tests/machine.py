"""What drives the service and a model of it side by side, and compares them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar
from uuid import uuid4

import grpc
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
)
from scrip.points.v1 import earn_effect_pb2, points_pb2, points_pb2_grpc, purchase_pb2

from services.common.cache import Redis
from services.common.ids import utc_now
from services.points.balances import BALANCE_KEYS, Balances
from services.points.balances.leased_cache import LeasedCache
from services.points.ledger import expire_due
from services.points.programme import RefundPolicy
from services.points.tests.earn_rule_help import Staff
from services.points.tests.manager import Manager
from services.points.tests.model import DONE, Account, EarnRule, Model, Sale
from services.points.tests.own_service import OwnService
from services.points.tests.returns import unclaimed
from services.points.tests.support import sold
from tests import invariants
from tests.inprocess import Member, bearer, eventually, reason

T = TypeVar("T")
FLOOR = -100
DEBT, NEGATIVE = RefundPolicy.DEBT, RefundPolicy.NEGATIVE_BALANCE


@dataclass
class World:
    """The real thing, one service for each policy, driven from another thread."""

    services: dict[RefundPolicy, OwnService]
    admin: str
    redis: Redis
    loop: asyncio.AbstractEventLoop

    def do(self, work: Awaitable[T]) -> T:
        """Does it in the loop where the services live."""
        return asyncio.run_coroutine_threadsafe(_done(work), self.loop).result(30)


_world: ContextVar[World] = ContextVar("world")


class Machine(RuleBasedStateMachine):
    """Two members and what is known of them; which things happen is decided by subclasses."""

    points: OwnService
    staff: Staff
    manager: Manager
    members: list[Member]
    model: Model

    def __init__(self) -> None:
        super().__init__()
        self.world = _world.get()
        self.sent: list[tuple[Sale, purchase_pb2.RecordPurchaseRequest, purchase_pb2.RecordPurchaseResponse]]
        self.sent = []
        self.orders = [uuid4() for _ in range(3)]
        self.wrong_codes = 0

    async def _member(self) -> Member:
        member = await self.points.platform.member()
        await self.points.send_event(member.id, 1, "REGISTERED")
        return member

    def teardown(self) -> None:
        """All books agree; no rule stays."""
        if hasattr(self, "staff"):
            self.world.do(self._balanced())
            self.world.do(self._without_rules())

    async def _expired(self) -> int:
        balances = Balances(self.points.database, LeasedCache(self.world.redis, BALANCE_KEYS))
        return await expire_due(self.points.database, balances.void)

    async def _made(self, made: EarnRule) -> str:
        effects: dict[str, dict[str, Any]] = {
            "rate": {"base_rate": earn_effect_pb2.BaseRate(points=1, per_minor=made.amount)},
            "exclusion": {"exclusion": earn_effect_pb2.Exclusion(categories=[made.category])},
            "multiplier": {
                "multiplier": earn_effect_pb2.Multiplier(
                    percent=made.amount, categories=[made.category.upper()] if made.category else []
                )
            },
            "bonus": {"first_purchase_bonus": earn_effect_pb2.FirstPurchaseBonus(points=made.amount)},
        }
        between, before_all = utc_now() - timedelta(days=5), utc_now() - timedelta(days=20)
        if made.old_sales:
            window: dict[str, Any] = {} if made.new_sales else {"ends_at": sold(between)}
        else:
            window = {"starts_at": sold(between)} if made.new_sales else {"ends_at": sold(before_all)}
        rule_id = (await self.staff.create(priority=made.priority, **effects[made.kind], **window)).id
        await self._in_force()
        return rule_id

    async def _deleted(self, rule_id: str) -> None:
        await self.staff.delete(rule_id)
        self.staff.made.remove(rule_id)
        await self._in_force()

    async def _balanced(self) -> None:
        floor = 0 if self.model.floor is None else self.model.floor
        await self.points.assert_balanced()
        await asyncio.to_thread(invariants.check_ledger, self.points.database_url, floor=floor)
        await asyncio.to_thread(invariants.check_movements, self.points.database_url)

    async def _without_rules(self) -> None:
        for rule_id in self.staff.made:
            await self.staff.delete(rule_id)
        await self._in_force()

    async def _in_force(self) -> None:
        """Returns when receipts are judged by the newest rules."""
        newest = "SELECT max(id) FROM earn_rule_sets"
        judged = "SELECT rule_set_id FROM purchases WHERE id = %(id)s::uuid"

        async def check() -> None:
            reply = await unclaimed(self.points)
            assert await self.points.rows(judged, id=reply.purchase.id) == await self.points.rows(newest)

        await eventually(check)

    @invariant()
    def the_service_agrees_with_the_model(self) -> None:
        """Balance, debt, every entry, every lot, and what expires."""
        if hasattr(self, "model"):
            self.world.do(self._all_agree())

    async def _all_agree(self) -> None:
        await asyncio.gather(*map(self._agrees, self.members))

    async def _agrees(self, member: Member) -> None:
        account = self._account(member)
        stub = points_pb2_grpc.PointsServiceStub(self.points.channel)
        seen = await stub.GetMyBalance(points_pb2.GetMyBalanceRequest(), metadata=bearer(member.token))
        assert (seen.balance, seen.debt) == (account.balance, account.debt)
        entries = await self.points.rows(
            "SELECT kind, delta, debt_delta FROM ledger_entries WHERE member_id = %(id)s ORDER BY sequence",
            id=member.id,
        )
        assert entries == account.entries
        assert sum(delta for _, delta, _ in entries) == account.balance
        assert sum(debt for _, _, debt in entries) == account.debt
        lots = await self.points.rows(
            "SELECT id, earned, remaining, expired, expires_at < now() FROM lots WHERE member_id = %(id)s"
            " ORDER BY id",
            id=member.id,
        )
        assert lots == [(lot.number, lot.earned, lot.left, lot.expired, lot.due) for lot in account.lots]
        soon = await stub.ListMyExpiries(points_pb2.ListMyExpiriesRequest(), metadata=bearer(member.token))
        assert sum(each.points for each in soon.expiries) == max(account.balance, 0)

    def _account(self, member: Member) -> Account:
        return self.model.accounts[member.id]

    def _outcome(self, call: Any) -> str:
        """Returns why a call was refused, or DONE."""
        return self.world.do(_outcome(call))


async def _outcome(call: Awaitable[object]) -> str:
    task = asyncio.ensure_future(call)
    try:
        await task
    except grpc.aio.AioRpcError:
        return await reason(task)
    return DONE


async def _done(work: Awaitable[T]) -> T:
    return await work


@contextmanager
def driven(world: World) -> Iterator[None]:
    """The world that machines made in this context drive."""
    token = _world.set(world)
    try:
        yield
    finally:
        _world.reset(token)
