"""The steps of an order without servers: whatever fails at whichever call, nothing comes apart."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.vouchers.orders.steps import NO_TENDER, Tender
from services.vouchers.orders.tests.order_model import (
    DECLINED,
    ENDED,
    FAULTS,
    GOOD,
    LOOKED_AT,
    Fault,
    Worker,
    World,
    bring_to_an_end,
    world,
)

KINDS: dict[str, dict[str, Any]] = {
    "points": {"points": 500},
    "money": {"money": 500, "promo": True},
    "both": {"points": 500, "money": 500},
}


def settled(kind: str, faults: dict[int, Fault], tender: Tender) -> World:
    """Returns a world whose order was brought to its end with these faults; a lost card comes again."""
    one = world(**KINDS[kind])
    one.faults = faults
    for _ in range(1 + len(faults)):
        bring_to_an_end(one, tender)
    assert one.order.state in ENDED, one
    return one


@pytest.mark.covers("V3 OrderService.PlaceOrder")
@pytest.mark.parametrize("kind", KINDS)
def test_any_two_faults_leave_an_order_that_is_paid_with_its_codes_or_undone(kind: str) -> None:
    clean = settled(kind, {}, GOOD)
    assert clean.order.state == "COMPLETED"
    calls = range(len(clean.calls) + 6)
    faults = list(product(calls, FAULTS))
    ends = {
        settled(kind, {first: one, second: other}, GOOD).order.state
        for (first, one), (second, other) in product(faults, faults)
        if first <= second
    }
    assert ends == {"COMPLETED", "FAILED"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_known_is_asked_again_and_undoes_nothing(kind: str) -> None:
    calls = range(len(settled(kind, {}, GOOD).calls))
    unknown: tuple[Fault, ...] = ("UNKNOWN_BEFORE", "UNKNOWN_AFTER")
    for call, fault in product(calls, unknown):
        assert settled(kind, {call: fault}, GOOD).order.state == "COMPLETED"


@pytest.mark.parametrize("kind", KINDS)
def test_any_two_faults_of_a_refund_leave_nothing_behind(kind: str) -> None:
    paid = settled(kind, {}, GOOD)
    done = len(paid.calls)
    for first, one, second, other in product(range(6), FAULTS, range(6), FAULTS):
        refunded = replace(paid, calls=list(paid.calls), counts=dict(paid.counts), faults={done + first: one})
        refunded.faults |= {done + second: other}
        assert refunded.cancel() is not None
        bring_to_an_end(refunded)
        assert refunded.order.state == "REFUNDED"


@pytest.mark.parametrize("kind", KINDS)
def test_an_order_of_which_a_code_was_used_is_not_refunded(kind: str) -> None:
    paid = settled(kind, {}, GOOD)
    paid.code_used = True
    before = replace(paid)
    assert paid.cancel() is not None
    bring_to_an_end(paid)
    after = replace(paid, calls=before.calls)
    assert after == replace(before, order=paid.order)
    assert paid.order.state == "COMPLETED"


@pytest.mark.parametrize("kind", KINDS)
def test_an_order_whose_codes_are_short_waits_paid_for_and_completes_when_they_are_there(kind: str) -> None:
    calls = range(len(settled(kind, {}, GOOD).calls) + 3)
    for call, fault in product(calls, FAULTS):
        one = world(**KINDS[kind])
        one.codes_short, one.faults = True, {call: fault}
        for _ in range(3):
            bring_to_an_end(one, GOOD)
        if fault != "REFUSED":
            assert one.order.state == "PENDING"
            assert one.order.codes_awaited_at is not None
            assert (one.debit, one.in_wallet) == ("TAKEN" if one.order.price_points else "", False)
        one.codes_short = False
        for _ in range(2):
            bring_to_an_end(one, GOOD)
        assert one.order.state == "COMPLETED" or fault == "REFUSED"


@pytest.mark.parametrize("kind", KINDS)
def test_an_order_that_is_cancelled_while_its_codes_are_short_is_undone(kind: str) -> None:
    one = world(**KINDS[kind])
    one.codes_short = True
    bring_to_an_end(one, GOOD)
    assert one.cancel() is not None
    bring_to_an_end(one)
    assert one.order.state == "CANCELLED"


def test_a_payment_that_wants_a_second_look_waits_for_it_and_goes_on() -> None:
    one = world(money=500, points=5)
    bring_to_an_end(one, LOOKED_AT)
    assert (one.order.state, one.codes) == ("AWAITING_PAYMENT", "")
    one.payment = "AUTHORISED"
    bring_to_an_end(one)
    assert one.order.state == "COMPLETED"


def test_a_payment_that_is_not_made_in_time_undoes_the_order() -> None:
    one = world(money=500, points=5)
    bring_to_an_end(one, LOOKED_AT)
    one.overdue = True
    bring_to_an_end(one)
    assert (one.order.state, one.order.failure_reason) == ("FAILED", "ORDER_PAYMENT_EXPIRED")
    assert (one.debit, one.payment) == ("UNDONE", "VOIDED")


def test_a_payment_that_was_authorised_in_time_wins() -> None:
    one = world(money=500)
    bring_to_an_end(one, LOOKED_AT)
    one.payment, one.overdue = "AUTHORISED", True
    bring_to_an_end(one)
    assert one.order.state == "COMPLETED"


def test_a_declined_payment_undoes_the_order() -> None:
    one = settled("both", {}, DECLINED)
    assert (one.order.state, one.order.failure_reason, one.debit) == ("FAILED", "PAYMENT_DECLINED", "UNDONE")


def test_an_order_that_costs_nothing_in_points_or_money_asks_nobody_for_it() -> None:
    assert settled("points", {}, NO_TENDER).calls == ["debit", "assign", "complete"]
    one = world()
    bring_to_an_end(one)
    assert one.calls == ["assign", "complete"]


class Machine(RuleBasedStateMachine):
    """Several workers at one order, which its member, staff, a bank and a till touch meanwhile."""

    @initialize(
        points=st.sampled_from([0, 500]),
        money=st.sampled_from([0, 500]),
        promo=st.booleans(),
        poor=st.booleans(),
    )
    def place(self, *, points: int, money: int, promo: bool, poor: bool) -> None:
        """An order is placed."""
        self.world = world(points=points, money=money, promo=promo and bool(money))
        self.world.too_poor = poor and bool(points)
        self.workers: list[Worker] = []
        self.known = [self.world.order]

    @precondition(lambda self: len(self.workers) < 3)
    @rule(stale=st.integers(0, 3), tender=st.sampled_from([NO_TENDER, GOOD, DECLINED, LOOKED_AT]))
    def work(self, stale: int, tender: Tender) -> None:
        """A process takes the order up, perhaps from a state that has passed."""
        order = self.known[max(0, len(self.known) - 1 - stale)]
        self.workers.append(Worker(self.world.steps(), order, tender))

    @precondition(lambda self: self.workers)
    @rule(which=st.integers(0, 2), calls=st.integers(1, 12))
    def go_on(self, which: int, calls: int) -> None:
        """A process makes a few calls."""
        worker = self.workers[which % len(self.workers)]
        for _ in range(calls):
            if not worker.done:
                worker.advance()
                self.world.check()
        self._look()

    @precondition(lambda self: self.workers)
    @rule(which=st.integers(0, 2))
    def die(self, which: int) -> None:
        """A process is killed."""
        self.workers[which % len(self.workers)].kill()
        self._look()

    @rule(call=st.sampled_from(["debit", "authorise", "assign", "capture", "release", "undo_payment"]))
    def go_away_or_come_back(self, call: str) -> None:
        """A part of Scrip is away, or is back."""
        self.world.away ^= {call}

    @precondition(lambda self: self.world.payment == "ACTION_REQUIRED")
    @rule(approved=st.booleans())
    def look_again(self, *, approved: bool) -> None:
        """The member confirms the payment, or does not."""
        self.world.payment = "AUTHORISED" if approved else "DECLINED"

    @rule()
    def take_too_long(self) -> None:
        """The time to pay is over."""
        self.world.overdue = True

    @rule(within_days=st.booleans())
    def cancel(self, *, within_days: bool) -> None:
        """The member cancels it, or staff refund it."""
        self.world.cancel(within_days=within_days)
        self._look()

    @precondition(lambda self: self.world.in_wallet and self.world.codes == "TAKEN")
    @rule()
    def use_or_give_away(self) -> None:
        """A till redeems a code, or somebody accepts it as a gift: promos lets it go no more."""
        self.world.code_used = True

    @invariant()
    def hold(self) -> None:
        """What must hold holds."""
        self.world.check()

    def teardown(self) -> None:
        """Everything is back, and the order ends."""
        self.world.away.clear()
        while not all(worker.done for worker in self.workers):
            for worker in self.workers:
                if not worker.done:
                    worker.advance()
                    self.world.check()
        bring_to_an_end(self.world)
        if self.world.order.state == "AWAITING_PAYMENT":
            self.world.overdue = True
            bring_to_an_end(self.world)
        assert self.world.order.state in ENDED
        self.world.check()

    def _look(self) -> None:
        self.workers = [worker for worker in self.workers if not worker.done]
        if self.world.order != self.known[-1]:
            self.known.append(self.world.order)


@pytest.mark.covers(
    "V3 OrderService.PlaceOrder", "V7 OrderService.CancelMyOrder", "V7 OrderService.RefundOrder"
)
def test_any_interleaving_of_workers_payments_cancels_and_uses_holds_together() -> None:
    run_state_machine_as_test(
        Machine, settings=settings(max_examples=150, stateful_step_count=40, deadline=None)
    )
