"""Who works on an order, and for how long, without servers: steps are told what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import cast
from uuid import UUID

from services.common.errors import OutcomeUnknownError
from services.vouchers.orders.queries import OrderRow
from services.vouchers.orders.saga import OrderSaga
from services.vouchers.orders.steps import NO_TENDER, OrderSteps, Tender
from services.vouchers.orders.tests.order_model import GOOD, world

Step = Callable[[OrderRow, Tender], Awaitable[OrderRow]]


@dataclass
class Told:
    """Implements `OrderSteps.take` and `saga.OpenOrders`."""

    step: Step
    order: OrderRow
    tenders: list[Tender] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)

    async def take(self, order: OrderRow, tender: Tender = NO_TENDER) -> OrderRow:
        self.tenders.append(tender)
        self.order = await self.step(order, tender)
        return self.order

    async def get(self, order_id: UUID) -> OrderRow:
        return self.order

    async def claim(self, most: int) -> Sequence[OrderRow]:
        return [self.order]

    async def set_aside(self, order_id: UUID, error: str) -> None:
        self.aside.append(error)


def saga(step: Step, *, lease_seconds: float = 5) -> tuple[OrderSaga, Told]:
    told = Told(step, world(money=500).order)
    return OrderSaga(cast(OrderSteps, told), told, lease_seconds=lease_seconds), told


async def test_a_card_that_comes_during_a_step_is_tried_and_none_is_kept() -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def step(order: OrderRow, tender: Tender) -> OrderRow:
        if tender.card:
            return replace(order, state="COMPLETED")
        asked.set()
        await go_on.wait()
        return replace(order, state="AWAITING_PAYMENT")

    one, told = saga(step)
    task = one.start(told.order)
    await asked.wait()
    assert one.start(told.order, GOOD) is task
    go_on.set()
    assert (await task).state == "COMPLETED"
    await asyncio.sleep(0)
    assert (one._tenders, one._running, one._once_more) == ({}, {}, set())


async def test_a_word_of_the_provider_during_a_step_is_not_lost() -> None:
    paid = False

    async def step(order: OrderRow, tender: Tender) -> OrderRow:
        nonlocal paid
        if paid:
            return replace(order, state="COMPLETED")
        if order.state == "AWAITING_PAYMENT":  # it has looked, and the word comes right after
            await one.wake(order.id)
            paid = True
        return replace(order, state="AWAITING_PAYMENT")

    one, told = saga(step)
    assert (await one.finish(told.order, seconds=5)).state == "COMPLETED"


async def test_an_order_that_awaits_payment_rests() -> None:
    async def step(order: OrderRow, tender: Tender) -> OrderRow:
        return replace(order, state="AWAITING_PAYMENT")

    one, told = saga(step)
    assert (await one.finish(told.order, GOOD, seconds=5)).state == "AWAITING_PAYMENT"
    assert len(told.tenders) == 2, "it is looked at once more when it has come to wait"


async def test_what_is_not_known_is_asked_again_with_the_card_until_the_lease_is_over() -> None:
    async def step(order: OrderRow, tender: Tender) -> OrderRow:
        raise OutcomeUnknownError("bank")

    one, told = saga(step, lease_seconds=0.2)
    assert (await one.finish(told.order, GOOD, seconds=5)).state == "PENDING"
    assert len(told.tenders) > 1
    assert set(told.tenders) == {GOOD}
    assert told.aside == []


async def test_an_order_whose_codes_are_short_is_tried_after_waits_and_once_when_it_is_taken_over() -> None:
    tries = 0

    async def step(order: OrderRow, tender: Tender) -> OrderRow:
        nonlocal tries
        tries += 1
        if tries == 4:
            return replace(order, state="COMPLETED")
        return replace(order, codes_awaited_at=order.placed_at)

    one, told = saga(step)
    assert (await one.finish(told.order, seconds=5)).state == "COMPLETED"
    tries = 0
    told.order = replace(told.order, state="PENDING")
    await one.sweep()
    await one.drain()
    assert (tries, told.order.state, told.aside) == (1, "PENDING", [])


async def test_a_defect_sets_the_order_aside_and_a_slow_provider_holds_up_no_order_for_points() -> None:
    async def step(order: OrderRow, tender: Tender) -> OrderRow:
        if order.amount_minor:
            await asyncio.Event().wait()
        raise IndexError

    one, told = saga(step)
    slow = [one.start(world(money=500).order) for _ in range(100)]
    await one.finish(world(points=5).order, seconds=5)
    assert told.aside == ["IndexError"]
    for task in slow:
        task.cancel()
