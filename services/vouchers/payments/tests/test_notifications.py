"""What a gateway tells of payments: signed, now, of a payment that there is, and of its amount."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import Any
from uuid import UUID

import grpc
import orjson
import pytest
from google.api import httpbody_pb2
from scrip.vouchers.v1 import payment_pb2, payment_pb2_grpc

from services.common.db import Database, execute
from services.common.ids import new_id
from services.common.webhooks import signing
from services.vouchers.payments import PaymentAwaitedError, Payments
from services.vouchers.payments.providers import Providers
from services.vouchers.payments.tests.bank import Bank, Due
from services.vouchers.payments.tests.staff import Staff
from tests.inprocess import GATEWAY_SECRET, Platform, reason, refusal

KEY = signing.key_of(GATEWAY_SECRET)


@pytest.fixture
async def due(platform: Platform) -> Due:
    """An order whose member is at the gateway's page."""
    method = await (await Staff.of(platform)).create(provider="GATEWAY")
    due = Due(payment_method_id=UUID(method.id))
    bank = Bank(next="ACTION_REQUIRED", takes_card=False)
    payments = Payments(platform.databases["vouchers"], Providers({"GATEWAY": bank}), _nobody)
    with pytest.raises(PaymentAwaitedError):
        await payments.authorise(due, None)
    return due


async def _nobody(_order_id: UUID) -> None:
    """Is told, and does nothing."""


async def state(platform: Platform, due: Due) -> str:
    payments = Payments(platform.databases["vouchers"], Providers({}), _nobody)
    found = await payments.find(due.id)
    return found.state if found else "none"


def body(due: Due, **changed: object) -> bytes:
    return orjson.dumps(
        {
            "payment_id": str(due.id),
            "state": "AUTHORISED",
            "amount_minor": due.amount_minor,
            "currency_code": due.currency_code,
        }
        | changed
    )


async def notify(
    platform: Platform,
    sent: bytes,
    headers: dict[str, str] | None = None,
    provider: str = "GATEWAY",
) -> payment_pb2.NotifyPaymentResponse:
    """Tells Scrip something, signed unless there are other headers."""
    stub = payment_pb2_grpc.PaymentServiceStub(platform.channels["vouchers"])
    request = payment_pb2.NotifyPaymentRequest(
        provider=provider,
        notification=httpbody_pb2.HttpBody(content_type="application/json", data=sent),
    )
    if headers is None:
        headers = signing.signed(str(new_id()), sent, [KEY])
    reply: payment_pb2.NotifyPaymentResponse = await stub.NotifyPayment(
        request, metadata=list(headers.items())
    )
    return reply


@pytest.mark.covers("V3 PaymentService.NotifyPayment")
async def test_a_signed_notification_changes_the_payment_once(platform: Platform, due: Due) -> None:
    await asyncio.gather(*(notify(platform, body(due)) for _ in range(10)))
    assert await state(platform, due) == "AUTHORISED"
    await notify(platform, body(due, state="DECLINED", decline_code="CARD_DECLINED"))
    await notify(platform, body(due, state="ACTION_REQUIRED", redirect_url="https://bank.example/2"))
    assert await state(platform, due) == "AUTHORISED", "what comes late changes nothing"


async def test_forged_changed_and_old_notifications_are_refused(
    platform: Platform, due: Due, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = body(due)
    good = signing.signed("m-1", sent, [KEY])
    with monkeypatch.context() as clock:
        now = time.time()
        clock.setattr(time, "time", lambda: now - 301)
        old = signing.signed("m-1", sent, [KEY])
        clock.setattr(time, "time", lambda: now + 400)
        early = signing.signed("m-1", sent, [KEY])
    signature = good["webhook-signature"]
    for headers, rule in (
        ({}, "headers"),
        ({name: value for name, value in good.items() if name != "webhook-id"}, "headers"),
        (good | {"webhook-timestamp": "yesterday"}, "headers"),
        (signing.signed("m-1", sent, [b"another key"]), "signature"),
        (good | {"webhook-id": "m-2"}, "signature"),
        (good | {"webhook-timestamp": str(int(good["webhook-timestamp"]) + 1)}, "signature"),
        (good | {"webhook-signature": signature.replace("v1,", "v2,")}, "signature"),
        (good | {"webhook-signature": " ".join(["v1,x"] * 50 + [signature])}, "signature"),
        (old, "timestamp"),
        (early, "timestamp"),
    ):
        assert await refusal(notify(platform, sent, headers)) == (
            "PAYMENT_SIGNATURE_NOT_VALID",
            grpc.StatusCode.PERMISSION_DENIED,
            {"rule": rule},
        )
    assert await reason(notify(platform, sent + b" ", good)) == "PAYMENT_SIGNATURE_NOT_VALID"
    assert await state(platform, due) == "ACTION_REQUIRED"
    two = good | {"webhook-signature": f"v1,bm9wZQ== {signature}"}
    await notify(platform, sent, two)  # while secrets rotate there are two
    assert await state(platform, due) == "AUTHORISED"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"payment_id": str(new_id())}, "PAYMENT_NOT_FOUND"),
        ({"amount_minor": 1}, "PAYMENT_AMOUNT_MISMATCH"),
        ({"currency_code": "EUR"}, "PAYMENT_AMOUNT_MISMATCH"),
        ({"state": "PAID"}, "VALIDATION_FAILED"),
        ({"payment_id": "1"}, "VALIDATION_FAILED"),
        ({"padding": "x" * 70_000}, "VALIDATION_FAILED"),
    ],
)
async def test_what_can_not_be_is_refused_though_it_is_signed(
    platform: Platform, due: Due, changed: dict[str, Any], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    assert await reason(notify(platform, body(due, **changed))) == why
    assert await state(platform, due) == "ACTION_REQUIRED"
    assert ("GATEWAY says" in caplog.text) == (why == "PAYMENT_AMOUNT_MISMATCH"), "that is for an operator"


async def test_nobody_notifies_in_anothers_name(platform: Platform, due: Due) -> None:
    for provider in ("SANDBOX", "NOBODY", "gateway", "-"):
        assert await reason(notify(platform, body(due), provider=provider)) == "PAYMENT_PROVIDER_NOT_FOUND"


async def test_word_of_a_payment_that_was_given_up_has_it_given_back_again(
    platform: Platform, due: Due
) -> None:
    database: Database = platform.databases["vouchers"]
    bank = Bank()
    payments = Payments(database, Providers({"GATEWAY": bank}), _nobody)
    await payments.undo(replace(due))
    await notify(platform, body(due, state="CAPTURED"))
    assert await state(platform, due) == "VOIDED"
    query = "UPDATE payments SET checks = checks WHERE id = %(id)s AND check_at IS NOT NULL"
    assert await database.run(execute, query, id=due.id) == 1
