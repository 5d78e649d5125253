"""Payments by a provider whose replies get lost: paid once or not at all; what is given up is given back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from uuid import UUID

import pytest

from services.common.db import Connection, Database, execute, fetch_values
from services.common.errors import DomainError, OutcomeUnknownError
from services.common.ids import new_id
from services.vouchers.payments import PaymentAwaitedError, Payments
from services.vouchers.payments.providers import ProviderPayment, Providers
from services.vouchers.payments.tests.bank import BANK, CARD, Bank, Due, Fault


class Told:
    """The orders that were told of their payment."""

    def __init__(self) -> None:
        self.ids: list[UUID] = []

    async def __call__(self, order_id: UUID) -> None:
        self.ids.append(order_id)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def payments(payments_db: Database, bank: Bank, told: Told) -> Payments:
    return Payments(payments_db, Providers({BANK: bank}), told)


async def state(payments: Payments, due: Due) -> str:
    found = await payments.find(due.id)
    return found.state if found else "none"


async def make_due(db: Database, due: Due) -> None:
    """Has the time come at which the provider is asked about a payment."""
    await db.run(execute, "UPDATE payments SET check_at = now() WHERE id = %(id)s", id=due.id)


async def is_open(db: Database, due: Due) -> bool:
    """Returns whether the provider is still to be asked or told."""
    query = "SELECT true FROM payments WHERE id = %(id)s AND check_at IS NOT NULL"
    return bool(await db.read(fetch_values, query, id=due.id))


async def authorised(payments: Payments, due: Due) -> None:
    """Authorises as the saga does: again and again while nobody knows."""
    for _ in range(4):
        try:
            await payments.authorise(due, CARD)
        except OutcomeUnknownError:
            continue
        return
    raise AssertionError("never known")


async def undone(payments: Payments, due: Due) -> None:
    for _ in range(4):
        try:
            await payments.undo(due)
        except OutcomeUnknownError:
            continue
        return
    raise AssertionError("never known")


async def test_a_payment_is_authorised_captured_and_refunded_once(
    payments: Payments, bank: Bank, due: Due, payments_db: Database
) -> None:
    for _ in range(2):
        await payments.authorise(due, CARD)
    assert await state(payments, due) == "AUTHORISED"
    for _ in range(2):
        await payments.capture(due)
    assert bank.payments[due.id].state == "CAPTURED"
    for _ in range(2):
        await payments.undo(due)
    assert (await state(payments, due), bank.payments[due.id].state) == ("REFUNDED", "REFUNDED")
    assert bank.calls == ["authorise", "capture", "refund"]
    assert not await is_open(payments_db, due)
    for late in (payments.authorise(due, CARD), payments.capture(due)):
        with pytest.raises(DomainError, match="PAYMENT_VOIDED"):
            await late


async def test_twenty_at_once_make_one_payment(payments: Payments, bank: Bank, due: Due) -> None:
    await asyncio.gather(*(payments.authorise(due, CARD) for _ in range(20)))
    await asyncio.gather(*(payments.capture(due) for _ in range(20)))
    assert bank.payments[due.id].state == "CAPTURED"
    assert await state(payments, due) == "CAPTURED"


@pytest.mark.parametrize("fault", ["lost before", "lost after"])
async def test_what_is_not_known_is_asked_and_not_guessed(
    payments: Payments, bank: Bank, due: Due, fault: Fault
) -> None:
    bank.faults = {name: [fault] for name in ("authorise", "capture", "refund")}
    await authorised(payments, due)
    assert bank.calls[:2] == ["authorise", "status"]
    with pytest.raises(OutcomeUnknownError):
        await payments.capture(due)
    await payments.capture(due)
    await undone(payments, due)
    assert bank.payments[due.id].state == "REFUNDED"


async def test_a_declined_payment_stays_declined(payments: Payments, bank: Bank, due: Due) -> None:
    bank.next, bank.decline_code = "DECLINED", "INSUFFICIENT_FUNDS"
    for _ in range(2):
        with pytest.raises(DomainError) as refused:
            await payments.authorise(due, CARD)
        assert refused.value.reason == "PAYMENT_DECLINED"
        assert refused.value.metadata == {"decline_code": "INSUFFICIENT_FUNDS"}
    await payments.undo(due)
    assert await state(payments, due) == "DECLINED"
    assert bank.calls == ["authorise"]


async def test_without_a_card_it_waits_for_one(payments: Payments, bank: Bank, due: Due) -> None:
    with pytest.raises(PaymentAwaitedError) as waits:
        await payments.authorise(due, None)
    assert waits.value.redirect_url == ""
    assert bank.calls == []
    await payments.authorise(due, CARD)
    assert await state(payments, due) == "AUTHORISED"


async def test_after_a_crash_the_sweep_finds_what_was_authorised(
    payments: Payments, bank: Bank, due: Due, told: Told, payments_db: Database
) -> None:
    bank.faults = {"authorise": ["lost after"]}
    with pytest.raises(OutcomeUnknownError):
        await payments.authorise(due, CARD)
    await payments.sweep()
    assert await state(payments, due) == "CREATED", "not yet: it may still be under way"
    await make_due(payments_db, due)
    await payments.sweep()
    assert (await state(payments, due), told.ids) == ("AUTHORISED", [due.id])
    assert await is_open(payments_db, due), "its order is told again until it takes the money"
    await payments.capture(due)
    assert not await is_open(payments_db, due)


async def test_one_that_fails_holds_up_no_other_in_the_sweep(
    payments: Payments, bank: Bank, due: Due, told: Told, payments_db: Database
) -> None:
    bank.next = "ACTION_REQUIRED"
    others = [replace(due, id=new_id()) for _ in range(3)]
    for one in (due, *others):
        with pytest.raises(PaymentAwaitedError):
            await payments.authorise(one, CARD)
    bank.payments[due.id] = replace(bank.payments[due.id], amount_minor=1, state="AUTHORISED")
    for one in (due, *others):
        if one is not due:
            bank.put(one.id, "AUTHORISED")
        await make_due(payments_db, one)
    await payments.sweep()
    assert sorted(told.ids) == sorted(one.id for one in others)
    assert await is_open(payments_db, due)


async def test_a_second_look_is_confirmed_and_repeated_word_of_it_is_harmless(
    payments: Payments, bank: Bank, due: Due, told: Told
) -> None:
    bank.next = "ACTION_REQUIRED"
    for _ in range(2):
        with pytest.raises(PaymentAwaitedError) as waits:
            await payments.authorise(due, CARD)
        assert waits.value.redirect_url == "https://bank.example/1"
    word = bank.put(due.id, "AUTHORISED")
    for _ in range(3):
        await payments.notified(BANK, word)
    assert set(told.ids) == {due.id}
    await payments.authorise(due, None)
    found = await payments.find(due.id)
    assert found is not None
    assert (found.state, found.redirect_url) == ("AUTHORISED", "")


async def test_a_lost_word_is_made_up_for_when_the_order_asks(
    payments: Payments, bank: Bank, due: Due
) -> None:
    bank.next = "ACTION_REQUIRED"
    with pytest.raises(PaymentAwaitedError):
        await payments.authorise(due, CARD)
    bank.put(due.id, "AUTHORISED")
    await payments.authorise(due, None)
    assert await state(payments, due) == "AUTHORISED"


async def test_word_in_any_order_leads_only_on(payments: Payments, bank: Bank, due: Due) -> None:
    await payments.authorise(due, CARD)
    asked = replace(bank.payments[due.id], state="ACTION_REQUIRED")
    declined = replace(bank.payments[due.id], state="DECLINED", decline_code="CARD_DECLINED")
    for late in (asked, declined):
        await payments.notified(BANK, late)
        assert await state(payments, due) == "AUTHORISED"


async def test_word_of_another_payment_provider_or_amount_is_refused(
    payments: Payments, bank: Bank, due: Due, told: Told
) -> None:
    bank.next = "ACTION_REQUIRED"
    with pytest.raises(PaymentAwaitedError):
        await payments.authorise(due, CARD)
    word = bank.put(due.id, "AUTHORISED")
    for provider, told_of, reason in (
        (BANK, replace(word, payment_id=new_id()), "PAYMENT_NOT_FOUND"),
        ("SANDBOX", word, "PAYMENT_NOT_FOUND"),
        (BANK, replace(word, amount_minor=1), "PAYMENT_AMOUNT_MISMATCH"),
        (BANK, replace(word, currency_code="EUR"), "PAYMENT_AMOUNT_MISMATCH"),
    ):
        with pytest.raises(DomainError, match=reason):
            await payments.notified(provider, told_of)
    assert (await state(payments, due), told.ids) == ("ACTION_REQUIRED", [])


async def test_a_provider_that_lies_about_the_amount_is_not_believed_and_gives_it_back(
    payments: Payments, bank: Bank, due: Due
) -> None:
    bank.lies = True
    with pytest.raises(DomainError, match="PAYMENT_AMOUNT_MISMATCH"):
        await payments.authorise(due, CARD)
    await payments.undo(due)
    assert bank.payments[due.id].state == "VOIDED"


async def test_a_payment_given_up_before_it_was_made_is_never_made(
    payments: Payments, bank: Bank, due: Due, payments_db: Database
) -> None:
    await payments.undo(due)
    with pytest.raises(DomainError, match="PAYMENT_VOIDED"):
        await payments.authorise(due, CARD)
    assert (bank.calls, await is_open(payments_db, due)) == ([], False)


async def test_what_costs_no_money_has_no_payment(payments: Payments, bank: Bank) -> None:
    free = Due(payment_method_id=None, amount_minor=0, currency_code=None)
    await payments.undo(free)
    assert (await state(payments, free), bank.calls) == ("none", [])


@pytest.mark.parametrize("fault", ["lost before", "lost after"])
async def test_one_of_unknown_outcome_is_given_back_and_looked_at_once_more(
    payments: Payments, bank: Bank, due: Due, fault: Fault, payments_db: Database
) -> None:
    """A provider that keeps no tombstones may authorise minutes after it was told to give up."""
    bank.faults = {"authorise": [fault], "void": ["lost before"]}
    with pytest.raises(OutcomeUnknownError):
        await payments.authorise(due, CARD)
    with pytest.raises(OutcomeUnknownError):
        await payments.undo(due)
    await payments.undo(due)
    assert bank.payments[due.id].state == "VOIDED"
    bank.put(due.id, "CAPTURED")
    await make_due(payments_db, due)
    await payments.sweep()
    assert bank.payments[due.id].state == "REFUNDED"


async def test_an_authorisation_that_comes_after_the_undoing_is_voided(
    payments: Payments, bank: Bank, due: Due, payments_db: Database
) -> None:
    class Slow(Bank):
        async def authorise(self, *charge: object) -> ProviderPayment:
            await payments.undo(due)
            self.payments.clear()  # it keeps no tombstone
            return await super().authorise(*charge)  # type: ignore[arg-type]  # handed on

    slow = Slow()
    payments.providers = Providers({BANK: slow})
    with pytest.raises(DomainError, match="PAYMENT_VOIDED"):
        await payments.authorise(due, CARD)
    assert slow.payments[due.id].state == "AUTHORISED"
    await payments.sweep()
    assert slow.payments[due.id].state == "VOIDED"


async def test_a_capture_that_comes_after_the_undoing_is_refunded(
    payments: Payments, bank: Bank, due: Due
) -> None:
    await payments.authorise(due, CARD)

    class Late(Bank):
        async def void(self, payment_id: UUID) -> ProviderPayment:
            if "capture" not in self.calls:
                await self.capture(payment_id)
            return await super().void(payment_id)

    late = Late(payments=bank.payments)
    payments.providers = Providers({BANK: late})
    await payments.undo(due)
    assert late.payments[due.id].state == "REFUNDED"
    assert await state(payments, due) == "VOIDED"


async def test_what_the_provider_has_let_go_is_not_captured(payments: Payments, bank: Bank, due: Due) -> None:
    await payments.authorise(due, CARD)
    bank.put(due.id, "VOIDED")
    with pytest.raises(DomainError, match="PAYMENT_DECLINED"):
        await payments.capture(due)
    assert await state(payments, due) == "DECLINED"


async def test_a_method_of_a_provider_that_is_gone_is_refused_and_its_payments_stay_in_sight(
    payments: Payments, bank: Bank, due: Due, payments_db: Database
) -> None:
    await payments.authorise(due, CARD)
    payments.providers = Providers({})
    with pytest.raises(DomainError, match="PAYMENT_PROVIDER_NOT_FOUND"):
        await payments.authorise(replace(due, id=new_id()), CARD)
    with pytest.raises(OutcomeUnknownError):
        await payments.undo(due)
    assert await is_open(payments_db, due)


async def test_a_provider_with_pages_of_its_own_takes_no_card(
    payments: Payments, bank: Bank, due: Due
) -> None:
    bank.takes_card, bank.next = False, "ACTION_REQUIRED"
    assert due.payment_method_id is not None
    await payments.require_card(due.payment_method_id, None)
    with pytest.raises(DomainError, match="VALIDATION_FAILED"):
        await payments.require_card(due.payment_method_id, CARD)
    with pytest.raises(PaymentAwaitedError) as waits:
        await payments.authorise(due, None)
    assert waits.value.redirect_url == "https://bank.example/1"
    bank.takes_card = True
    with pytest.raises(DomainError, match="CARD_REQUIRED"):
        await payments.require_card(due.payment_method_id, None)


async def test_open_payments_are_found_by_an_index(payments_db: Database) -> None:
    """They are few among all that were ever made."""

    async def plan(connection: Connection) -> str:
        await execute(connection, "SET LOCAL enable_seqscan = off")
        query = "EXPLAIN SELECT id FROM payments WHERE check_at <= now() ORDER BY check_at LIMIT 50"
        return "\n".join(await fetch_values(connection, query))

    assert "ix_payments_open" in await payments_db.run(plan)


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_gets_lost_in_whatever_order_what_is_given_up_is_given_back(
    payments: Payments, bank: Bank, due: Due, seed: int
) -> None:
    """Steps of several workers at random, half of the replies lost; then it is given up, or taken."""
    chance = random.Random(seed)
    bank.next = chance.choice(["AUTHORISED", "ACTION_REQUIRED", "CAPTURED", "DECLINED"])
    operations = ("authorise", "capture", "void", "refund", "status")
    lost: list[Fault] = ["lost before", "lost after", "heard", "heard"]
    bank.faults = {one: chance.choices(lost, k=3) for one in operations}
    steps: list[Callable[[], Awaitable[None]]] = [
        lambda: payments.authorise(due, CARD),
        lambda: payments.authorise(due, None),
        lambda: payments.capture(due),
        lambda: payments.undo(due),
        lambda: confirmed(payments, bank, due),
    ]
    weights = [4, 2, 3, 1, 2]

    async def tried(step: Callable[[], Awaitable[None]]) -> None:
        with suppress(DomainError, PaymentAwaitedError):
            await step()

    for _ in range(4):
        await asyncio.gather(*(tried(step) for step in chance.choices(steps, weights, k=2)))
    if await state(payments, due) in ("VOIDED", "REFUNDED") or chance.random() < 0.5:
        bank.faults = {}
        await payments.undo(due)
        held = bank.payments.get(due.id)
        assert held is None or held.state in ("VOIDED", "REFUNDED", "DECLINED")
        with pytest.raises((DomainError, PaymentAwaitedError)):
            await payments.capture(due)
    elif await state(payments, due) == "CAPTURED":
        assert bank.payments[due.id].state == "CAPTURED"


async def confirmed(payments: Payments, bank: Bank, due: Due) -> None:
    """The member confirms, and the bank says so, if it asked."""
    if due.id in bank.payments and bank.payments[due.id].state == "ACTION_REQUIRED":
        await payments.notified(BANK, bank.put(due.id, "AUTHORISED"))
