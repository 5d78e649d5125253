"""The sandbox's test cards, as an order that is paid by one meets them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

import pytest
from psycopg.sql import SQL, Identifier
from scrip.common.v1 import money_pb2
from scrip.vouchers.v1 import payment_pb2, payment_pb2_grpc

from services.common.db import Connection, Database, fetch_values
from services.common.errors import DomainError, OutcomeUnknownError
from services.common.ids import new_id
from services.vouchers.payments import Card, PaymentAwaitedError, Payments, SandboxProvider, open_payments
from services.vouchers.payments.encoding import read_card
from services.vouchers.payments.payment_handlers import SandboxPaymentHandlers
from services.vouchers.payments.sandbox import CARDS, SANDBOX
from services.vouchers.payments.tests.bank import Due
from services.vouchers.payments.tests.staff import Staff
from tests.inprocess import Platform, reason

GOOD, TWICE, SLOW, LOST = (
    "4242424242424242",
    "4000000000002222",
    "4000000000003337",
    "4000000000000119",
)
SECOND_LOOK = "4000002500003155"
HOLDER = "Zaphod Beeblebrox"


class Orders:
    """Counts how often each order was told of its payment."""

    def __init__(self) -> None:
        self.told: list[UUID] = []

    async def __call__(self, order_id: UUID) -> None:
        self.told.append(order_id)


@pytest.fixture
def orders() -> Orders:
    return Orders()


@pytest.fixture
def db(platform: Platform) -> Database:
    return platform.databases["vouchers"]


@pytest.fixture
async def payments(db: Database, orders: Orders) -> AsyncIterator[Payments]:
    """Payments beside those of the running service, with the same database."""
    sandbox = SandboxProvider(db, slow_seconds=0.1)
    async with open_payments(db, sandbox=sandbox, gateway=None, on_change=orders) as opened:
        yield opened


@pytest.fixture(scope="module")
async def method_of_sandbox(platform: Platform) -> UUID:
    return UUID((await (await Staff.of(platform)).create()).id)


@pytest.fixture
def due(method_of_sandbox: UUID) -> Due:
    return Due(payment_method_id=method_of_sandbox)


@pytest.fixture
def bank(platform: Platform) -> payment_pb2_grpc.SandboxPaymentServiceStub:
    """The sandbox, as the holder of a card meets it."""
    return payment_pb2_grpc.SandboxPaymentServiceStub(platform.channels["vouchers"])


def card(number: str) -> Card:
    return read_card(
        payment_pb2.Card(number=number, expiry_month=12, expiry_year=2_040, cvc="739", holder=HOLDER)
    )


@pytest.mark.parametrize("number", [GOOD, TWICE, SLOW])
async def test_cards_that_succeed_pay_once(payments: Payments, due: Due, orders: Orders, number: str) -> None:
    await payments.authorise(due, card(number))
    await payments.capture(due)
    assert orders.told == [due.id] * (2 if number == TWICE else 0)
    found = await payments.providers.get(SANDBOX).status(due.id)
    assert found is not None
    assert (found.state, found.amount_minor, found.currency_code) == ("CAPTURED", 1_250, "USD")
    await payments.undo(due)
    given_back = await payments.providers.get(SANDBOX).status(due.id)
    assert given_back is not None
    assert given_back.state == "REFUNDED"


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("4000000000000002", "CARD_DECLINED"),
        ("4000000000009995", "INSUFFICIENT_FUNDS"),
        ("4000000000000069", "EXPIRED_CARD"),
        ("4000000000000127", "INCORRECT_CVC"),
        ("5555555555554444", "CARD_DECLINED"),
    ],
)
async def test_cards_that_fail_say_why(payments: Payments, due: Due, number: str, code: str) -> None:
    with pytest.raises(DomainError) as refused:
        await payments.authorise(due, card(number))
    assert (refused.value.reason, refused.value.metadata) == ("PAYMENT_DECLINED", {"decline_code": code})


async def test_a_charge_whose_reply_is_lost_is_found_later(payments: Payments, due: Due) -> None:
    with pytest.raises(OutcomeUnknownError):
        await payments.authorise(due, card(LOST))
    await payments.authorise(due, None)
    other = replace(due, id=new_id())
    with pytest.raises(OutcomeUnknownError):
        await payments.authorise(other, card(LOST))
    await payments.undo(other)
    found = await payments.providers.get(SANDBOX).status(other.id)
    assert found is not None
    assert found.state == "VOIDED"


async def test_a_payment_voided_before_it_is_made_is_never_made(payments: Payments, due: Due) -> None:
    """As by an order that was undone while its authorisation was still on the way."""
    sandbox = payments.providers.get(SANDBOX)
    assert (await sandbox.void(due.id)).state == "VOIDED"
    with pytest.raises(DomainError, match="PAYMENT_DECLINED"):
        await payments.authorise(due, card(GOOD))


async def asked(payments: Payments, due: Due) -> str:
    """Returns the token with which the holder of the card confirms."""
    with pytest.raises(PaymentAwaitedError) as waits:
        await payments.authorise(due, card(SECOND_LOOK))
    path, _, token = waits.value.redirect_url.partition("#")
    assert path == f"/v1/sandbox-payments/{due.id}"
    assert len(token) > 20
    return token


@pytest.mark.covers(
    "V3 SandboxPaymentService.GetSandboxPayment", "V3 SandboxPaymentService.ConfirmSandboxPayment"
)
@pytest.mark.parametrize("approve", [True, False])
async def test_a_second_look_is_confirmed_by_who_has_the_token(
    payments: Payments, due: Due, bank: payment_pb2_grpc.SandboxPaymentServiceStub, *, approve: bool
) -> None:
    token = await asked(payments, due)
    read = payment_pb2.GetSandboxPaymentRequest(payment_id=str(due.id))
    shown = (await bank.GetSandboxPayment(read)).payment
    assert shown == payment_pb2.SandboxPayment(
        id=str(due.id),
        state=payment_pb2.PAYMENT_STATE_ACTION_REQUIRED,
        amount=money_pb2.Money(currency_code="USD", amount_minor=1_250),
    )

    def confirm(secret: str, *, agree: bool) -> payment_pb2.ConfirmSandboxPaymentRequest:
        return payment_pb2.ConfirmSandboxPaymentRequest(payment_id=str(due.id), token=secret, approve=agree)

    assert await reason(bank.ConfirmSandboxPayment(confirm("x" * 32, agree=True))) == "PAYMENT_NOT_FOUND"
    replies = await asyncio.gather(
        *(bank.ConfirmSandboxPayment(confirm(token, agree=approve)) for _ in range(10))
    )
    wanted = payment_pb2.PAYMENT_STATE_AUTHORISED if approve else payment_pb2.PAYMENT_STATE_DECLINED
    assert {reply.payment.state for reply in replies} == {wanted}
    other = bank.ConfirmSandboxPayment(confirm(token, agree=not approve))
    assert await reason(other) == "PAYMENT_ALREADY_DECIDED"
    kept = await payments.find(due.id)
    assert kept is not None
    assert kept.state == ("AUTHORISED" if approve else "DECLINED"), "it was told, and did not have to ask"
    if approve:
        await payments.authorise(due, None)
    else:
        with pytest.raises(DomainError, match="AUTHENTICATION_FAILED"):
            await payments.authorise(due, None)


async def test_a_payment_that_was_given_up_can_not_be_confirmed(
    payments: Payments, due: Due, bank: payment_pb2_grpc.SandboxPaymentServiceStub
) -> None:
    token = await asked(payments, due)
    await payments.undo(due)
    request = payment_pb2.ConfirmSandboxPaymentRequest(payment_id=str(due.id), token=token, approve=True)
    assert await reason(bank.ConfirmSandboxPayment(request)) == "PAYMENT_ALREADY_DECIDED"


async def test_no_payment_is_shown_that_there_is_not(
    bank: payment_pb2_grpc.SandboxPaymentServiceStub,
) -> None:
    read = payment_pb2.GetSandboxPaymentRequest(payment_id=str(new_id()))
    assert await reason(bank.GetSandboxPayment(read)) == "PAYMENT_NOT_FOUND"


async def test_without_the_sandbox_no_test_card_pays(db: Database, due: Due) -> None:
    async with open_payments(db, sandbox=None, gateway=None, on_change=Orders()) as opened:
        with pytest.raises(DomainError, match="PAYMENT_PROVIDER_NOT_FOUND"):
            await opened.authorise(due, card(GOOD))
        handlers = SandboxPaymentHandlers(None)
        with pytest.raises(DomainError, match="NOT_SERVED"):
            await handlers.GetSandboxPayment(payment_pb2.GetSandboxPaymentRequest(), None)  # type: ignore[arg-type]


async def test_cards_are_in_no_table_and_no_log(
    payments: Payments, due: Due, db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for number in CARDS:
        one = replace(due, id=new_id())
        try:
            await payments.authorise(one, card(number))
        except (DomainError, PaymentAwaitedError) as error:
            logging.getLogger(__name__).exception("as a defect is logged", exc_info=error)
        await payments.undo(one)
    tables = await db.read(_everything)
    assert f"({due.payment_method_id}," in tables, "it is read"
    for kept in (caplog.text, tables):
        assert [secret for secret in (*CARDS, HOLDER) if secret in kept] == []


async def _everything(connection: Connection) -> str:
    """Returns all rows of all tables of vouchers, as text."""
    tables = await fetch_values(connection, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert {"payments", "sandbox_payments", "idempotency_keys", "outbox", "orders"} <= set(tables)
    rows: list[str] = []
    for table in tables:
        rows += await fetch_values(connection, SQL("SELECT t::text FROM {} AS t").format(Identifier(table)))
    return "\n".join(rows)
