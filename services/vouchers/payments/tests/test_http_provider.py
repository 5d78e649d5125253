"""A gateway that is called over HTTP, and misbehaves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.common.errors import OutcomeUnknownError
from services.common.ids import new_id
from services.vouchers.payments.http_provider import HttpProvider
from services.vouchers.payments.providers import Charge, ProviderPayment
from services.vouchers.payments.tests.bank import CARD
from services.vouchers.payments.tests.gateway import KEY, Gateway, gateway_listening, http
from services.vouchers.payments.wire import MOST_BYTES
from services.vouchers.settings import Settings

PATIENCE = 5.0
SHORT = 0.2


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with gateway_listening() as listening:
        yield listening


@asynccontextmanager
async def calling(
    gateway: Gateway, *, takes_card: bool = False, seconds: float = PATIENCE
) -> AsyncIterator[HttpProvider]:
    """Yields the provider that calls a gateway."""
    provider = HttpProvider("ACME", gateway.url, KEY, takes_card=takes_card, seconds=seconds)
    try:
        yield provider
    finally:
        await provider.close()


@pytest.fixture
async def provider(gateway: Gateway) -> AsyncIterator[HttpProvider]:
    async with calling(gateway) as opened:
        yield opened


@pytest.fixture
def charge() -> Charge:
    return Charge(new_id(), 1_250, "USD", "https://shop.example/back")


async def test_each_operation_is_signed_and_keyed_by_payment_and_operation(
    gateway: Gateway, provider: HttpProvider, charge: Charge
) -> None:
    which = charge.payment_id
    assert await provider.status(which) is None
    authorised = await provider.authorise(charge, CARD)
    assert authorised == ProviderPayment(which, "AUTHORISED", 1_250, "USD", reference="g-1")
    states = [
        (await call).state for call in (provider.capture(which), provider.refund(which), provider.void(which))
    ]
    assert states == ["CAPTURED", "REFUNDED", "VOIDED"]
    assert [request.is_signed for request in gateway.requests] == [True] * 5
    asked = [(request.json["operation"], request.headers["idempotency-key"]) for request in gateway.requests]
    operations = ("status", "authorise", "capture", "refund", "void")
    assert asked == [(one, f"{which}-{one}") for one in operations]
    assert gateway.requests[1].json == {
        "operation": "authorise",
        "payment_id": str(which),
        "amount_minor": 1_250,
        "currency_code": "USD",
        "return_url": "https://shop.example/back",
    }, "and no card, which this gateway asks for itself"


async def test_a_card_goes_to_a_gateway_that_takes_one(gateway: Gateway, charge: Charge) -> None:
    async with calling(gateway, takes_card=True) as provider:
        await provider.authorise(charge, CARD)
    assert gateway.requests[0].json["card"] == {
        "number": CARD.number,
        "expiry_month": 12,
        "expiry_year": 2_999,
        "cvc": "123",
        "holder": "Ada Lovelace",
    }


GOOD = {"payment_id": "", "state": "AUTHORISED", "amount_minor": 1_250, "currency_code": "USD"}


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"garbage",
        http(500, b"it broke"),
        http(500, {}),
        http(401, {}),
        http(409, {}),
        http(429, {}),
        http(302, b"").replace(b"\r\n\r\n", b"\r\nlocation: http://127.0.0.1:1/\r\n\r\n"),
        http(200, b""),
        http(200, b"<html>"),
        http(200, b"[]"),
        http(200, b'{"state": "AUTHORISED"'),
        http(200, b"\xff\xfe"),
        http(200, b" " * (MOST_BYTES + 10)),
        b"HTTP/1.1 200 X\r\ncontent-length: 100\r\n\r\n{",
    ],
)
async def test_a_charge_without_a_clear_reply_is_of_unknown_outcome_and_found_later(
    gateway: Gateway, provider: HttpProvider, charge: Charge, reply: bytes
) -> None:
    gateway.reply = reply
    with pytest.raises(OutcomeUnknownError):
        await provider.authorise(charge, None)
    gateway.reply = None
    found = await provider.status(charge.payment_id)
    assert found is not None
    assert found.state == "AUTHORISED"


@pytest.mark.parametrize(
    "changes",
    [
        {"payment_id": str(new_id())},
        {"payment_id": 1},
        {"state": "CREATED"},
        {"state": "authorised"},
        {"state": None},
        {"state": {}},
        {"amount_minor": "1250"},
        {"amount_minor": 12.5},
        {"amount_minor": True},
        {"amount_minor": -1},
        {"amount_minor": 10**30},
        {"currency_code": "usd"},
        {"currency_code": None},
        {"reference": "x" * 201},
        {"reference": "a\0"},
        {"redirect_url": "javascript:alert(1)"},
        {"redirect_url": "http://bank.example/"},
        {"redirect_url": "https://user@bank.example/"},
        {"redirect_url": "https://[bank/"},
        {"decline_code": "no money"},
    ],
)
async def test_nonsense_is_not_believed(
    gateway: Gateway, provider: HttpProvider, charge: Charge, changes: dict[str, Any]
) -> None:
    gateway.changes = changes
    with pytest.raises(OutcomeUnknownError):
        await provider.authorise(charge, None)


async def test_what_it_says_is_handed_on(gateway: Gateway, provider: HttpProvider, charge: Charge) -> None:
    gateway.changes = {"state": "ACTION_REQUIRED", "redirect_url": "https://bank.example/1?a=b", "more": 1}
    asked = await provider.authorise(charge, None)
    assert (asked.state, asked.redirect_url) == ("ACTION_REQUIRED", "https://bank.example/1?a=b")
    gateway.changes = {"state": "DECLINED", "decline_code": "INSUFFICIENT_FUNDS", "amount_minor": 7}
    declined = await provider.authorise(charge, None)
    assert (declined.state, declined.decline_code) == ("DECLINED", "INSUFFICIENT_FUNDS")
    assert declined.amount_minor == 7, "whether it lies about amounts is judged where the payment is known"


async def test_it_is_not_waited_for_longer_than_it_has(gateway: Gateway, charge: Charge) -> None:
    gateway.seconds = 10 * SHORT
    async with calling(gateway, seconds=SHORT) as provider:
        with pytest.raises(OutcomeUnknownError):
            await provider.authorise(charge, None)
    assert str(charge.payment_id) in gateway.payments, "it did act"


async def test_one_that_is_down_leaves_the_outcome_open(charge: Charge) -> None:
    async with gateway_listening() as gone:
        pass
    async with calling(gone) as provider:
        with pytest.raises(OutcomeUnknownError):
            await provider.status(charge.payment_id)


async def test_a_capture_of_what_it_does_not_know_leaves_the_outcome_open(
    provider: HttpProvider,
) -> None:
    with pytest.raises(OutcomeUnknownError):
        await provider.capture(new_id())


async def test_nothing_that_travels_is_logged(
    gateway: Gateway, charge: Charge, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    gateway.reply = http(500, {"secret": CARD.number})
    async with calling(gateway, takes_card=True) as provider:
        with pytest.raises(OutcomeUnknownError):
            await provider.authorise(charge, CARD)
    assert CARD.number in gateway.requests[0].body.decode()
    assert "status 500" in caplog.text
    assert CARD.number not in caplog.text
    assert "Ada Lovelace" not in caplog.text


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"payment_provider_url": ""}, "SCRIP_PAYMENT_PROVIDER_URL"),
        ({"payment_provider_url": "http://pay.example/"}, "SCRIP_PAYMENT_PROVIDER_URL"),
        ({"payment_provider_url": "https://user@pay.example/"}, "SCRIP_PAYMENT_PROVIDER_URL"),
        ({"payment_provider_secret": "short"}, "16 characters"),
        ({"payment_provider_secret": "whsec_................"}, "base64"),
        ({"payment_provider_name": "SANDBOX"}, "sandbox"),
        ({"payment_provider_name": "acme"}, "payment_provider_name"),
    ],
)
def test_a_gateway_that_can_not_be_called_is_refused_at_the_start(changed: dict[str, str], says: str) -> None:
    given = {
        "database_url": "postgresql://x/y",
        "redis_url": "redis://x",
        **dict.fromkeys(
            ("identity_target", "points_target", "vouchers_target", "promos_target"), "ipv4:127.0.0.1:1"
        ),
        "payment_provider_name": "ACME",
        "payment_provider_url": "https://pay.example/",
        "payment_provider_secret": "whsec_c2VjcmV0c2VjcmV0",
    }
    assert Settings.model_validate(given).payment_provider_name == "ACME"
    with pytest.raises(ValueError, match=says):
        Settings.model_validate(given | changed)
