"""Which phone numbers get a one-time password."""

from __future__ import annotations

import pytest

from services.common.errors import DomainError
from services.identity.accounts.phones import as_e164, to_e164
from services.identity.tests.sending import sending
from tests.inprocess import Platform, new_phone, reason, refused_status

_MOBILES = [
    ("+14155550100", "US", "+14155550100"),
    ("415-555-0100", "US", "+14155550100"),
    ("(415) 555 0100", "US", "+14155550100"),
    ("1.415.555.0100", "US", "+14155550100"),
    ("\uff0b\uff11\uff14\uff11\uff15\uff15\uff15\uff15\uff10\uff11\uff10\uff10", "DE", "+14155550100"),
    ("07911 123456", "GB", "+447911123456"),
    ("+44 (0)7911 123456", "US", "+447911123456"),
    ("011 44 7911 123456", "US", "+447911123456"),
    ("+491512 2345678", "US", "+4915122345678"),
]


@pytest.mark.parametrize(("given", "region", "number"), _MOBILES)
def test_a_mobile_number_is_the_same_however_it_is_written(given: str, region: str, number: str) -> None:
    assert to_e164(given, region) == number
    assert as_e164(given, region) == number


@pytest.mark.parametrize(
    "given",
    [
        "",
        "   ",
        "+",
        "12345",
        "911",
        "+1911",
        "+1415555010",
        "+141555501000",
        "+999123456789",
        "4155550100 4155550101",
        "+14155550100;ext=5",
        "+14155550100 x5",
        "+14155550100 #5",
        "+14155550100,,5#",
        "tel:+14155550100",
        "(415) FLOWERS",
        "1-800-FLOWERS",
        "tom4155550100",
        "4155550100\u0660\u0660",
    ],
)
def test_what_is_no_number_or_more_than_one_is_refused(given: str) -> None:
    assert as_e164(given, "US") is None
    with pytest.raises(DomainError, match="VALIDATION_FAILED: phone: "):
        to_e164(given, "US")


@pytest.mark.parametrize(
    "given",
    [
        "+18005551234",  # free of charge for who calls
        "+19005551234",  # premium rate
        "+979123456789",  # premium rate of no country
        "+881612345678",  # satellite
        "+870773111632",
        "+442071838750",  # landline
        "+49 30 123456",
    ],
)
def test_a_number_that_no_message_reaches_or_that_costs_more_is_refused(given: str) -> None:
    assert as_e164(given, "US"), "staff may search for it"
    with pytest.raises(DomainError, match="is not a mobile number"):
        to_e164(given, "US")


def test_a_country_that_is_not_served_is_refused_though_it_has_the_same_prefix() -> None:
    for region, number in (("CA", "+16045550100"), ("DO", "+18095551234"), ("DE", "+4915122345678")):
        assert to_e164(number, "US") == number
        assert to_e164(number, "US", {"US", region}) == number
        with pytest.raises(DomainError, match="country that is not served"):
            to_e164(number, "US", {"US"})


async def test_a_foreign_number_costs_no_message_where_it_is_not_served(platform: Platform) -> None:
    async with sending(
        platform, worker=False, sandbox=True, otp_sender="sandbox", phone_regions="US"
    ) as identity:
        assert await reason(identity.ask("+4915122345678")) == "VALIDATION_FAILED"
        status, _ = await refused_status(identity.ask("+4915122345678"))
        assert status.message == "phone: is of a country that is not served here"
        assert (await identity.sent(new_phone())).otp_id
        assert len(await identity.rows("SELECT id FROM otps")) == 1
