"""The rules that the contract declares, and how a refusal names what breaks them."""

from __future__ import annotations

from typing import Any

import pytest
from buf.validate import validate_pb2
from google.protobuf import timestamp_pb2
from google.protobuf.message import Message
from scrip.common.v1 import money_pb2
from scrip.identity.v1 import auth_pb2, otp_pb2, staff_pb2
from scrip.points.v1 import earn_rule_pb2, purchase_pb2
from scrip.promos.v1 import code_pb2, code_set_pb2, promo_pb2
from scrip.vouchers.v1 import catalogue_pb2

from services.common import status
from services.common.errors import DomainError
from services.common.ids import new_id
from services.common.validation import FORMS, validate
from tests.contract.descriptors import messages

ANYBODY = "00000000-0000-7000-8000-000000000000"


def refused(request: Message) -> DomainError:
    """Returns the refusal of a request."""
    with pytest.raises(DomainError) as caught:
        validate(request)
    assert caught.value.reason == "VALIDATION_FAILED"
    return caught.value


def named(request: Message) -> list[str]:
    """Returns the fields that a refusal names."""
    return [violation.field for violation in refused(request).fields]


def item(**values: Any) -> purchase_pb2.PurchaseItem:
    """Returns a line of a receipt that is good but for what is given."""
    good: dict[str, Any] = {"sku": "1", "name": "Bread", "unit_price_minor": 100, "quantity": 1}
    return purchase_pb2.PurchaseItem(**good | values)


def purchase(*items: purchase_pb2.PurchaseItem) -> purchase_pb2.RecordPurchaseRequest:
    """Returns a receipt with these lines."""
    return purchase_pb2.RecordPurchaseRequest(
        member_code="A",
        receipt_number="1",
        sold_at=timestamp_pb2.Timestamp(seconds=1),
        currency_code="USD",
        items=items,
    )


def voucher(**values: Any) -> catalogue_pb2.CreateVoucherRequest:
    """Returns a voucher that is good but for what is given."""
    money = money_pb2.Money(currency_code="USD", amount_minor=500)
    good: dict[str, Any] = {"title": "Coupon", "face_value": money, "price_points": 1, "quantity": 1}
    return catalogue_pb2.CreateVoucherRequest(**good | values)


def staff_request(**values: Any) -> staff_pb2.CreateStaffRequest:
    """Returns a new account of the staff that is good but for what is given."""
    good: dict[str, Any] = {
        "user_name": "grace",
        "full_name": "Grace Hopper",
        "role": 3,
        "password": "a long password",
    }
    return staff_pb2.CreateStaffRequest(**good | values)


def test_good_requests_pass() -> None:
    validate(purchase(item()))
    validate(voucher())


def test_fields_are_named_as_their_reader_would_write_them() -> None:
    assert named(purchase(item(), item(quantity=0, sku=""), item())) == ["items[1].sku", "items[1].quantity"]
    assert named(auth_pb2.RegisterMemberRequest(full_name="Ada")) == ["request"]
    proof = otp_pb2.OtpProof(otp_id=str(new_id()), code="12x456")
    assert named(auth_pb2.LogInRequest(otp=proof)) == ["otp.code"]


@pytest.mark.parametrize(
    ("request_", "field", "said"),
    [
        (auth_pb2.LogInRequest(), "request", "exactly one of otp and password is required"),
        (purchase(item(quantity=None)), "items[0]", "exactly one of quantity and quantity_milli is required"),
        (
            earn_rule_pb2.CreateEarnRuleRequest(name="None"),
            "request",
            "exactly one of base_rate, exclusion, multiplier and first_purchase_bonus is required",
        ),
        (
            code_set_pb2.CreateCodeSetRequest(name="Flyer", quantity=1, benefit=code_pb2.Benefit()),
            "benefit",
            "exactly one of amount_off and percent_off is required",
        ),
        (voucher(title=" "), "title", "must not be blank"),
        (
            voucher(face_value=money_pb2.Money(currency_code="usd", amount_minor=1)),
            "face_value.currency_code",
            "must be a currency code of ISO 4217 in capitals, such as USD",
        ),
        (
            staff_request(role=1),
            "role",
            "must be one of ROLE_ADMIN, ROLE_MANAGER, ROLE_CASHIER, ROLE_BRAND_MANAGER",
        ),
        (
            promo_pb2.CreatePromoRequest(member_id=ANYBODY, description="Welcome", amount=1),
            "type",
            "must not be PROMO_TYPE_UNSPECIFIED",
        ),
    ],
)
def test_what_is_expected_is_said_in_words(request_: Message, field: str, said: str) -> None:
    error = refused(request_)
    assert [(one.field, one.description) for one in error.fields] == [(field, said)]
    assert f"{field}: {said}" in error.message


def test_every_pattern_of_the_contract_is_said_in_words() -> None:
    patterns = {
        rules.pattern
        for message in messages().values()
        for field in message.field
        for own in [field.options.Extensions[validate_pb2.field]]
        for rules in (own.string, own.repeated.items.string)
        if rules.pattern
    }
    assert patterns == FORMS.keys()


def test_rules_of_a_whole_message_name_the_request() -> None:
    starts, ends = timestamp_pb2.Timestamp(seconds=4 * 10**9), timestamp_pb2.Timestamp(seconds=3 * 10**9)
    error = refused(voucher(sale_starts_at=starts, sale_ends_at=ends))
    assert [field.field for field in error.fields] == ["request"]
    assert "sale_ends_at must lie after sale_starts_at" in error.message


def test_the_message_names_the_first_few_and_counts_the_rest() -> None:
    error = refused(purchase(*(item(quantity=0) for _ in range(8))))
    assert "items[4].quantity" in error.message
    assert "items[5].quantity" not in error.message
    assert error.message.endswith("; and 3 more")
    assert len(error.fields) == 8


def test_however_much_is_wrong_the_refusal_fits_into_trailers() -> None:
    error = refused(purchase(*(item(quantity=-1, sku="", name="", unit_price_minor=-1) for _ in range(500))))
    assert error.message.endswith("; and 1995 more")
    assert status.to_status(error).ByteSize() + len(error.message) < 8_000


@pytest.mark.parametrize("field", ["sale_starts_at", "sale_ends_at", "codes_expire_at"])
@pytest.mark.parametrize("seconds", [2**62, -(2**62), 253_402_300_800, -62_135_596_801])
def test_moments_that_no_calendar_has_upset_no_rule(field: str, seconds: int) -> None:
    starts = timestamp_pb2.Timestamp(seconds=4 * 10**9)
    request = voucher(**{"sale_starts_at": starts, field: timestamp_pb2.Timestamp(seconds=seconds)})
    try:
        validate(request)
    except DomainError as error:
        assert error.reason == "VALIDATION_FAILED"  # noqa: PT017  # passing is as good: handlers look again
