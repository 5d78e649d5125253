"""What staff do with payment methods and their discounts, and what members see of them."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from scrip.common.v1 import money_pb2
from scrip.vouchers.v1 import payment_method_pb2 as pb
from scrip.vouchers.v1 import payment_pb2, payment_pb2_grpc

from services.common.errors import DomainError
from services.common.ids import new_id
from services.vouchers.payments import Payments, discount_of
from services.vouchers.payments.providers import Providers
from services.vouchers.payments.tests.bank import Bank
from services.vouchers.payments.tests.staff import Staff
from services.vouchers.tests.support import Create
from tests.inprocess import Platform, bearer, reason, refusal


@pytest.fixture
async def staff(platform: Platform) -> Staff:
    return await Staff.of(platform)


async def options(platform: Platform) -> list[payment_pb2.PaymentOption]:
    """Returns the ways to pay, as somebody without a login sees them."""
    stub = payment_pb2_grpc.PaymentServiceStub(platform.channels["vouchers"])
    reply = await stub.ListPaymentOptions(payment_pb2.ListPaymentOptionsRequest(page_size=200))
    return list(reply.payment_options)


@pytest.mark.covers(
    "V2 PaymentMethodService.CreatePaymentMethod",
    "V2 PaymentMethodService.GetPaymentMethod",
    "V2 PaymentMethodService.ListPaymentMethods",
    "V2 PaymentService.ListPaymentOptions",
)
async def test_a_payment_method_is_created_listed_and_offered_to_all(
    staff: Staff, platform: Platform
) -> None:
    made = await staff.create(name=" Credit  card ", description=" All of them ", position=7)
    assert (made.name, made.description, made.provider) == ("Credit card", "All of them", "SANDBOX")
    assert (made.active, made.position) == (True, 7)
    assert await staff.get(made.id) == made
    hosted = await staff.create(name="Gateway", provider="GATEWAY", position=6)
    hidden = await staff.create(name="Soon", inactive=True)
    request = pb.ListPaymentMethodsRequest(page_size=200, active=True)
    listed = await staff.stub.ListPaymentMethods(request, metadata=bearer(staff.token))
    ids = [method.id for method in listed.payment_methods]
    assert ids.index(hosted.id) < ids.index(made.id)
    assert hidden.id not in ids
    shown = {option.payment_method_id: option for option in await options(platform)}
    assert shown[made.id] == payment_pb2.PaymentOption(
        payment_method_id=made.id, name="Credit card", description="All of them", card_required=True
    )
    assert not shown[hosted.id].card_required
    assert hidden.id not in shown


async def test_the_same_key_creates_one_method(staff: Staff) -> None:
    key = str(new_id())
    made = await asyncio.gather(*(staff.create(key) for _ in range(20)))
    assert len({method.id for method in made}) == 1
    assert await reason(staff.create(key, name="Another")) == "IDEMPOTENCY_KEY_REUSED"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"name": " "}, "VALIDATION_FAILED"),
        ({"name": "x" * 61}, "VALIDATION_FAILED"),
        ({"name": "Card\u202e"}, "VALIDATION_FAILED"),
        ({"position": -1}, "VALIDATION_FAILED"),
        ({"description": "x" * 501}, "VALIDATION_FAILED"),
        ({"provider": "NOBODY"}, "PAYMENT_PROVIDER_NOT_FOUND"),
        ({"provider": "sandbox"}, "PAYMENT_PROVIDER_NOT_FOUND"),
    ],
)
async def test_bad_input_is_refused(staff: Staff, fields: dict[str, Any], why: str) -> None:
    assert await reason(staff.create(**fields)) == why


@pytest.mark.covers(
    "V2 PaymentMethodService.UpdatePaymentMethod", "V2 PaymentMethodService.ArchivePaymentMethod"
)
async def test_a_payment_method_is_changed_as_it_was_read_and_archived_for_good(
    staff: Staff, platform: Platform
) -> None:
    made = await staff.create(description="Old")
    changed = await staff.update(made.id, etag=made.etag, name="Cards", position=3, clear=["description"])
    assert (changed.name, changed.position, changed.description) == ("Cards", 3, "")
    assert changed.etag != made.etag
    assert (await staff.update(made.id, name="Cards")).etag == changed.etag
    for stale in (staff.update(made.id, etag=made.etag, name="X"), staff.archive(made.id, made.etag)):
        assert await reason(stale) == "ETAG_MISMATCH"
    off = await staff.update(made.id, active=False)
    assert made.id not in {option.payment_method_id for option in await options(platform)}
    archived = await staff.archive(made.id, off.etag)
    assert archived.HasField("archived_at")
    assert await staff.archive(made.id, "stale") == archived
    assert await reason(staff.update(made.id, active=True)) == "PAYMENT_METHOD_ARCHIVED"
    for with_archived in (False, True):
        request = pb.ListPaymentMethodsRequest(page_size=200, with_archived=with_archived)
        listed = await staff.stub.ListPaymentMethods(request, metadata=bearer(staff.token))
        assert (made.id in {method.id for method in listed.payment_methods}) == with_archived
    unknown = str(new_id())
    assert (await refusal(staff.get(unknown)))[::2] == (
        "PAYMENT_METHOD_NOT_FOUND",
        {"payment_method_id": unknown},
    )


async def test_cashiers_and_members_have_no_say(staff: Staff, platform: Platform) -> None:
    for token in (await platform.token("cashier"), (await platform.member()).token):
        nobody = Staff(staff.stub, token)
        assert await reason(nobody.create()) == "ROLE_NOT_ALLOWED"


@pytest.mark.covers(
    "V2 PaymentMethodService.SetPaymentDiscount",
    "V2 PaymentMethodService.ListPaymentDiscounts",
    "V2 PaymentMethodService.DeletePaymentDiscount",
)
async def test_a_discount_is_set_changed_and_taken_away(staff: Staff, create: Create) -> None:
    method, voucher = await staff.create(), await create()
    first = await staff.set_discount(voucher.id, method.id, percent_off=10)
    assert await staff.discounts(voucher.id) == [first]
    assert (await staff.set_discount(voucher.id, method.id, percent_off=10)).etag == first.etag
    off = money_pb2.Money(currency_code="USD", amount_minor=250)
    second = await staff.set_discount(voucher.id, method.id, amount_off=off, etag=first.etag)
    assert await staff.discounts(voucher.id) == [second]
    assert (second.amount_off, second.percent_off) == (off, 0)
    for stale in (
        staff.set_discount(voucher.id, method.id, percent_off=5, etag=first.etag),
        staff.delete_discount(voucher.id, method.id, first.etag),
        staff.set_discount((await create()).id, method.id, percent_off=5, etag="1"),
    ):
        assert await reason(stale) == "ETAG_MISMATCH"
    for _ in range(2):
        await staff.delete_discount(voucher.id, method.id, second.etag)
    assert await staff.discounts(voucher.id) == []


async def test_discounts_are_of_what_there_is_and_in_the_programmes_currency(
    staff: Staff, create: Create
) -> None:
    method, voucher, unknown = await staff.create(), await create(), str(new_id())
    yen = money_pb2.Money(currency_code="JPY", amount_minor=100)
    nothing = money_pb2.Money(currency_code="USD", amount_minor=0)
    for call, why in (
        (staff.set_discount(voucher.id, method.id, amount_off=yen), "CURRENCY_NOT_SUPPORTED"),
        (staff.set_discount(voucher.id, method.id, amount_off=nothing), "VALIDATION_FAILED"),
        (staff.set_discount(voucher.id, method.id, percent_off=101), "VALIDATION_FAILED"),
        (staff.set_discount(voucher.id, method.id, percent_off=0), "VALIDATION_FAILED"),
        (staff.set_discount(voucher.id, method.id), "VALIDATION_FAILED"),
        (staff.set_discount(unknown, method.id, percent_off=1), "VOUCHER_NOT_FOUND"),
        (staff.set_discount(voucher.id, unknown, percent_off=1), "PAYMENT_METHOD_NOT_FOUND"),
        (staff.discounts(unknown), "VOUCHER_NOT_FOUND"),
    ):
        assert await reason(call) == why
    await staff.archive(method.id)
    call = staff.set_discount(voucher.id, method.id, percent_off=1)
    assert await reason(call) == "PAYMENT_METHOD_ARCHIVED"


async def test_orders_learn_what_a_method_takes_off_and_whether_it_can_be_used(
    staff: Staff, create: Create, platform: Platform
) -> None:
    db = platform.databases["vouchers"]
    payments = Payments(db, Providers({"SANDBOX": Bank()}), lambda _: asyncio.sleep(0))
    method, voucher = await staff.create(), await create()

    async def off() -> int:
        found = await db.read(payments.require_method, UUID(method.id), UUID(voucher.id))
        return discount_of(found, 999, 2)

    assert await off() == 0
    await staff.set_discount(voucher.id, method.id, percent_off=10)
    assert await off() == 200
    await staff.update(method.id, active=False)
    with pytest.raises(DomainError, match="PAYMENT_METHOD_NOT_FOUND"):
        await off()
    hosted = await staff.create(provider="GATEWAY")
    with pytest.raises(DomainError, match="PAYMENT_METHOD_NOT_FOUND"):  # which this process does not have
        await db.read(payments.require_method, UUID(hosted.id), UUID(voucher.id))
