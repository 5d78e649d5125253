"""Random histories of codes, compared with a model: INV4, and a reason for each refusal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

import grpc
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.common.db import Connection, fetch_all
from services.common.ids import new_id
from services.promos.codes import give_code, void_unused_codes
from services.promos.tests.redemption_help import RESTORED, SUSPENDED
from services.promos.tests.support import Promos
from tests.inprocess import reason

T = TypeVar("T")
DONE = "DONE"
ALLOWED, PER_MEMBER = 3, 4
MOST_CODES = 6
who = st.integers(0, 1)
number = st.integers(0, 9)


@dataclass
class ModelCode:
    """A code as it should be."""

    id: UUID
    text: str
    code_set: UUID
    state: str = "READY"
    owner: UUID | None = None
    order: UUID | None = None
    uses: int = 0
    expired: bool = False
    version: int = 1

    def change(self, **fields: Any) -> None:
        """Changes it, and counts that."""
        for name, value in fields.items():
            setattr(self, name, value)
        self.version += 1


@dataclass
class ModelUse:
    """A use of a code for a sale."""

    id: str
    code: ModelCode
    cancelled: bool = False


@dataclass
class Model:
    """All that should be."""

    codes: dict[UUID, ModelCode] = field(default_factory=dict)
    uses: dict[tuple[int, UUID], ModelUse] = field(default_factory=dict)
    orders: dict[UUID, tuple[UUID, int] | None] = field(default_factory=dict)
    """Owner and quantity of each order that has codes, and None for one that was released."""
    suspended: set[UUID] = field(default_factory=set)

    def refusal(self, code: ModelCode, sale: int, *, enabled: bool) -> str:
        """Returns why a code is refused for a sale, or DONE."""
        kept = self.uses.get((sale, code.id))
        if kept:
            return "REDEMPTION_CANCELLED" if kept.cancelled else DONE
        standing = sum(
            one.code.code_set == code.code_set and one.code.owner == code.owner and not one.cancelled
            for one in self.uses.values()
        )
        reasons = {
            "CODE_NOT_VALID": code.state == "READY",
            "CODE_VOID": code.state == "VOID",
            "CODE_ALREADY_USED": code.uses == ALLOWED,
            "CODE_EXPIRED": code.expired,
            "CODE_ON_HOLD": code.owner in self.suspended,
            "CODE_SET_DISABLED": not enabled,
            "CODE_MEMBER_LIMIT": standing >= PER_MEMBER,
        }
        return next((name for name, holds in reasons.items() if holds), DONE)

    def of_order(self, order: UUID) -> list[ModelCode]:
        """Returns the codes of an order."""
        return [code for code in self.codes.values() if code.order == order]


class World:
    """Promos, driven from another thread."""

    promos: Promos
    loop: asyncio.AbstractEventLoop

    def do(self, work: Awaitable[T]) -> T:
        """Does it in the loop where promos lives."""

        async def done() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(done(), self.loop).result(60)


_world = World()


@dataclass(frozen=True, slots=True)
class _Row:
    id: UUID
    code: str
    code_set_id: UUID
    state: str
    owner_member_id: UUID | None
    order_id: UUID | None
    uses: int
    version: int


class Codes(RuleBasedStateMachine):
    """A set for orders, a campaign whose codes are made as they are given, two members, two tills."""

    def __init__(self) -> None:
        super().__init__()
        self.world = _world
        self.promos = _world.promos
        self.model = Model()
        self.members = [new_id(), new_id()]
        self.orders = [new_id() for _ in range(4)]
        self.events = dict.fromkeys(self.members, 1)
        self.enabled = True
        self.wanted = 0

    @initialize()
    def begin(self) -> None:
        """Both sets, with the same limits, and some codes."""
        self.tills = [self.world.do(self.promos.platform.till()) for _ in range(2)]
        self.set = self.world.do(self.promos.code_set(1))
        self.campaign = UUID(self.world.do(self.promos.campaign()).id)
        limits = (
            "UPDATE code_sets SET uses_allowed = %(uses)s, uses_per_member = %(each)s WHERE id = ANY(%(ids)s)"
        )
        ids = [self.set, self.campaign]
        self.world.do(self.promos.execute(limits, uses=ALLOWED, each=PER_MEMBER, ids=ids))
        codes = "UPDATE codes SET uses_allowed = %(uses)s WHERE code_set_id = %(id)s"
        self.world.do(self.promos.execute(codes, uses=ALLOWED, id=self.set))
        self.wanted = 1
        self.make(2)

    @precondition(lambda self: self.wanted < MOST_CODES)
    @rule(count=st.integers(1, 3))
    def make(self, count: int) -> None:
        """The voucher's quantity grows."""
        self.wanted += count
        self.world.do(self.promos.ensure(self.set, self.wanted))
        self._until_made()

    def _until_made(self) -> None:
        """Waits for the codes that the set lacks, and takes the new ones into the model."""
        given = sum(
            code.code_set == self.set and code.state not in {"READY", "VOID"}
            for code in self.model.codes.values()
        )
        self.world.do(self.promos.until_made(self.set, self.wanted - given))
        for row in self.world.do(self._rows()):
            if row.id not in self.model.codes:
                self.model.codes[row.id] = ModelCode(row.id, row.code, row.code_set_id)

    @rule(order=number, member=who, quantity=st.integers(1, 2))
    def assign(self, order: int, member: int, quantity: int) -> None:
        """An order wants codes: the first time, again, with other content, after it was undone."""
        order_id, owner = self.orders[order % 4], self.members[member]
        ready = [code for code in self.model.codes.values() if self._is_ready(code)]
        kept = self.model.orders.get(order_id)
        if order_id in self.model.orders:
            expected = "ORDER_UNDONE" if kept is None else "ASSIGNMENT_CONFLICT"
            expected = DONE if kept == (owner, quantity) else expected
        else:
            expected = DONE if len(ready) >= quantity else "CODES_NOT_READY"
        call = self.promos.assign(self.set, order=order_id, owner=owner, quantity=quantity)
        outcome, ids = self._outcome(call)
        assert outcome == expected
        if outcome != DONE:
            return
        if kept is None:
            self.model.orders[order_id] = (owner, quantity)
            for code_id in ids:
                code = self.model.codes[UUID(code_id)]
                assert self._is_ready(code), "a code has one owner"
                code.change(state="ASSIGNED", owner=owner, order=order_id)
        assert {UUID(code_id) for code_id in ids} == {code.id for code in self.model.of_order(order_id)}

    def _is_ready(self, code: ModelCode) -> bool:
        return code.code_set == self.set and code.state == "READY"

    @precondition(lambda self: len(self.model.codes) < 3 * MOST_CODES)
    @rule(member=who)
    def give(self, member: int) -> None:
        """A member wins a code, which is made for it."""
        owner = self.members[member]
        code_id = self.world.do(
            self.promos.db.run(give_code, code_set_id=self.campaign, owner_member_id=owner)
        )
        text = "SELECT code FROM codes WHERE id = %(id)s"
        code = ModelCode(code_id, self.world.do(self.promos.value(text, id=code_id)), self.campaign)
        code.state, code.owner = "ASSIGNED", owner
        self.model.codes[code_id] = code

    @rule(code=number, sale=st.integers(0, 5))
    def redeem(self, code: int, sale: int) -> None:
        """A till redeems a code, perhaps for a sale that it was redeemed for."""
        self._redeem(self._pick(code), sale)

    @rule(code=number, first=st.integers(0, 5))
    def redeem_at_once(self, code: int, first: int) -> None:
        """Some tills come with one code at the same time: as many as may use it do."""
        picked = self._pick(code)
        sales = [sale for sale in range(first, first + 6) if (sale, picked.id) not in self.model.uses]
        outcomes = self.world.do(self._all([self._redemption(picked, sale) for sale in sales]))
        for sale, (outcome, redemption) in sorted(
            zip(sales, outcomes, strict=True), key=lambda one: one[1][0] != DONE
        ):
            assert outcome == self.model.refusal(picked, sale, enabled=self._is_on(picked))
            if outcome == DONE:
                self._used(picked, sale, redemption)

    def _redeem(self, code: ModelCode, sale: int) -> None:
        expected = self.model.refusal(code, sale, enabled=self._is_on(code))
        outcome, redemption = self._outcome(self._redemption(code, sale))
        assert outcome == expected
        if outcome == DONE:
            self._used(code, sale, redemption)

    def _used(self, code: ModelCode, sale: int, redemption: Any) -> None:
        kept = self.model.uses.get((sale, code.id))
        if kept:
            assert redemption.id == kept.id, "a repetition gets the first answer"
            return
        assert redemption.member_id == str(code.owner)
        code.change(uses=code.uses + 1)
        self.model.uses[sale, code.id] = ModelUse(redemption.id, code)

    def _redemption(self, code: ModelCode, sale: int) -> Awaitable[Any]:
        return self.promos.redeem(code.text, f"R-{sale}", self.tills[sale % 2])

    def _is_on(self, code: ModelCode) -> bool:
        return self.enabled or code.code_set != self.set

    @precondition(lambda self: self.model.uses)
    @rule(use=number)
    def cancel(self, use: int) -> None:
        """Staff take a redemption back, perhaps again, whatever became of the code."""
        uses = list(self.model.uses.values())
        picked = uses[use % len(uses)]
        cancelled = self.world.do(self.promos.cancel(picked.id, self.promos.admin))
        assert cancelled.HasField("cancelled_at")
        if not picked.cancelled:
            picked.cancelled = True
            picked.code.change(uses=picked.code.uses - 1)

    @rule(order=number)
    def release(self, order: int) -> None:
        """An order is undone, known or not; one whose code was used is not. The set gets new codes."""
        order_id = self.orders[order % 4]
        codes = self.model.of_order(order_id) if self.model.orders.get(order_id) else []
        expected = "ORDER_CODES_USED" if any(code.uses for code in codes) else DONE
        outcome, _ = self._outcome(self.promos.release(order_id))
        assert outcome == expected
        if outcome == DONE:
            self.model.orders[order_id] = None
            for code in codes:
                code.change(state="VOID")
            self._until_made()

    @rule(code=number)
    def expire(self, code: int) -> None:
        """A code's time is over."""
        picked = self._pick(code)
        if picked.state == "ASSIGNED":
            picked.expired = True
            over = "UPDATE codes SET expires_at = now() WHERE id = %(id)s"
            self.world.do(self.promos.execute(over, id=picked.id))

    @rule(code=number)
    def void(self, code: int) -> None:
        """What was won and not used is withdrawn."""
        picked = self._pick(code)
        if picked.code_set == self.campaign:
            self.world.do(self.promos.db.run(void_unused_codes, [picked.id]))
            if picked.state == "ASSIGNED" and not picked.uses:
                picked.change(state="VOID")

    @rule(member=who)
    def suspend_or_restore(self, member: int) -> None:
        """Staff suspend an account, or restore it."""
        member_id = self.members[member]
        self.events[member_id] += 1
        suspends = member_id not in self.model.suspended
        event = SUSPENDED if suspends else RESTORED
        self.world.do(self.promos.apply(member_id, version=self.events[member_id], event=event))
        self.model.suspended ^= {member_id}

    @rule()
    def switch(self) -> None:
        """Staff switch a set off, or on."""
        self.enabled = not self.enabled
        switch = "UPDATE code_sets SET enabled = %(on)s WHERE id = %(id)s"
        self.world.do(self.promos.execute(switch, on=self.enabled, id=self.set))

    @invariant()
    def codes_are_as_they_should_be(self) -> None:
        """State, owner, uses and version of every code."""
        if self.model.codes:
            found = {
                row.id: (row.state, row.owner_member_id, row.order_id, row.uses, row.version)
                for row in self.world.do(self._rows())
            }
            assert found == {
                code.id: (code.state, code.owner, code.order, code.uses, code.version)
                for code in self.model.codes.values()
            }

    def teardown(self) -> None:
        """INV4, for all that this history made."""
        self.world.do(self.promos.assert_consistent())

    def _pick(self, code: int) -> ModelCode:
        codes = list(self.model.codes.values())
        return codes[code % len(codes)]

    async def _rows(self) -> list[_Row]:
        return await self.promos.db.read(_codes_of, [self.set, self.campaign])

    async def _all(self, calls: list[Awaitable[Any]]) -> list[tuple[str, Any]]:
        return await asyncio.gather(*map(_outcome, calls))

    def _outcome(self, call: Awaitable[Any]) -> tuple[str, Any]:
        """Returns why a call was refused, or DONE and its reply."""
        return self.world.do(_outcome(call))


async def _outcome(call: Awaitable[Any]) -> tuple[str, Any]:
    task = asyncio.ensure_future(call)
    try:
        return DONE, await task
    except grpc.aio.AioRpcError:
        return await reason(task), None


async def _codes_of(connection: Connection, code_set_ids: list[UUID]) -> list[_Row]:
    return await fetch_all(
        connection,
        _Row,
        """
        SELECT id, code, code_set_id, state, owner_member_id, order_id, uses, version
        FROM codes WHERE code_set_id = ANY(%(ids)s)
        """,
        ids=code_set_ids,
    )


@pytest.mark.covers("C2 CodeService.RedeemCode", "C2 CodeService.CancelRedemption")
@pytest.mark.timeout(300)
async def test_whatever_happens_no_code_has_two_owners_or_too_many_uses(promos: Promos) -> None:
    _world.promos, _world.loop = promos, asyncio.get_running_loop()
    bounds = settings(
        max_examples=10,
        stateful_step_count=15,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    await asyncio.to_thread(run_state_machine_as_test, Codes, settings=bounds)
