"""Recording one purchase: what it earns, what a repetition gets, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import grpc
import pytest
from google.protobuf import timestamp_pb2
from google.rpc import error_details_pb2
from scrip.points.v1 import purchase_pb2

from services.points.earning import Rate
from services.points.programme import Programme, RefundPolicy
from services.points.tests.earn_rule_help import PLAIN, words_of
from services.points.tests.support import Points, item, receipt, sold
from tests.inprocess import Platform, reason, refusal, refused_status

Request = purchase_pb2.RecordPurchaseRequest


@pytest.mark.covers("P1 PurchaseService.RecordPurchase")
async def test_a_receipt_earns_a_point_per_full_ten_without_its_alcohol(
    points: Points, platform: Platform
) -> None:
    member = await platform.member()
    sold_at = sold()
    request = receipt(
        member.code, item(60_000), item(1_000, 2, alcohol=True), sold_at=sold_at, till_number="T-7"
    )
    reply = await points.record(request)
    assert reply.balance_after == 60
    assert reply.purchase.points == 60
    assert reply.purchase.total.amount_minor == 62_000
    assert reply.purchase.eligible.amount_minor == 60_000
    assert reply.purchase.total.currency_code == reply.purchase.eligible.currency_code == "USD"
    assert reply.purchase.receipt_number == request.receipt_number
    assert reply.purchase.till_number == "T-7"
    assert reply.purchase.sold_at == sold_at
    assert words_of(reply.purchase) == PLAIN
    assert abs(reply.purchase.recorded_at.ToDatetime(UTC) - datetime.now(UTC)) < timedelta(minutes=1)
    assert await points.balance(member) == 60


@pytest.mark.covers("P1 PurchaseService.RecordPurchase")
@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([item(999)], 0),
        ([item(1_000)], 1),
        ([item(1_999)], 1),
        ([item(500), item(499)], 0),
        ([item(500), item(500)], 1),
        ([item(333, 6)], 1),
        ([item(0)], 0),
        ([item(100_000, alcohol=True)], 0),
        ([item(995), item(5, alcohol=True)], 0),
    ],
)
async def test_points_are_counted_on_the_eligible_total_and_rounded_down(
    points: Points, platform: Platform, items: list[purchase_pb2.PurchaseItem], expected: int
) -> None:
    member = await platform.member()
    assert (await points.record(receipt(member.code, *items))).purchase.points == expected
    assert await points.balance(member) == expected


async def test_a_purchase_without_points_is_listed_and_moves_nothing(
    points: Points, platform: Platform
) -> None:
    member = await platform.member()
    await points.earn(member, 5)
    reply = await points.record(receipt(member.code, item(999)))
    assert (reply.purchase.points, reply.balance_after) == (0, 5)
    assert (await points.purchases(member)).purchases[0] == reply.purchase
    assert [entry.delta for entry in (await points.entries(member)).entries] == [5]
    await points.assert_balanced()


@pytest.mark.covers("P1 PurchaseService.RecordPurchase")
async def test_a_receipt_sent_again_gets_the_same_answer_byte_for_byte(
    points: Points, platform: Platform
) -> None:
    member = await platform.member()
    # PostgreSQL keeps microseconds; this time of sale has more.
    sold_at = sold()
    sold_at.nanos = sold_at.nanos // 1_000 * 1_000 + 789
    request = receipt(member.code, item(60_000), sold_at=sold_at, till_number="7")
    first = (await points.record(request)).SerializeToString(deterministic=True)
    await points.earn(member, 10)
    again = (await points.record(request)).SerializeToString(deterministic=True)
    assert again == first
    assert await points.balance(member) == 70


async def test_the_code_may_be_typed_with_separators_and_in_small_letters(
    points: Points, platform: Platform
) -> None:
    member = await platform.member()
    scanned = receipt(member.code)
    typed = Request()
    typed.CopyFrom(scanned)
    code = member.code.lower()
    typed.member_code = f" {code[:4]}-{code[4:8]} {code[8:]}"
    assert await points.record(typed) == await points.record(scanned)
    assert await points.balance(member) == 1


async def test_letters_that_look_like_digits_are_read_as_those(points: Points, platform: Platform) -> None:
    member = await platform.member()
    while not {"0", "1"} <= set(member.code):
        member = await platform.member()
    request = receipt(member.code)
    first = await points.record(request)
    for letters in ("OI", "ol"):
        request.member_code = member.code.translate(str.maketrans("01", letters))
        assert await points.record(request) == first


def _other_price(request: Request) -> None:
    request.items[0].unit_price_minor += 1


def _other_name(request: Request) -> None:
    request.items[0].name = "Cake"


def _one_more(request: Request) -> None:
    request.items.append(item(1))


def _other_time(request: Request) -> None:
    request.sold_at.seconds -= 1


def _other_currency(request: Request) -> None:
    request.currency_code = "EUR"


def _too_old(request: Request) -> None:
    request.sold_at.seconds -= 60 * 86_400


@pytest.mark.covers("P1 PurchaseService.RecordPurchase")
@pytest.mark.parametrize(
    "change", [_other_price, _other_name, _one_more, _other_time, _other_currency, _too_old]
)
async def test_the_same_receipt_with_other_content_is_refused(
    points: Points, platform: Platform, change: Any
) -> None:
    member = await platform.member()
    request = receipt(member.code)
    first = await points.record(request)
    change(request)
    assert await refusal(points.record(request)) == (
        "RECEIPT_CONFLICT",
        grpc.StatusCode.ALREADY_EXISTS,
        {"receipt_number": request.receipt_number, "purchase_id": first.purchase.id},
    )
    assert await points.balance(member) == 1


async def test_the_same_receipt_for_another_member_is_refused(points: Points, platform: Platform) -> None:
    member, other = await platform.member(), await platform.member()
    request = receipt(member.code)
    await points.record(request)
    request.member_code = other.code
    assert await reason(points.record(request)) == "RECEIPT_CONFLICT"
    assert await points.balance(other) == 0


async def test_numbers_of_other_tills_are_other_receipts(points: Points, platform: Platform) -> None:
    member = await platform.member()
    request = receipt(member.code)
    await points.record(request)
    request.till_number = "2"
    await points.record(request)
    await points.record(request, token=await platform.till())
    assert await points.balance(member) == 3


async def test_an_answer_outlives_the_time_in_which_a_sale_may_be_reported(
    points: Points, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = await platform.member()
    request = receipt(member.code, sold_at=sold(datetime.now(UTC) - timedelta(days=29)))
    first = await points.record(request)
    monkeypatch.setattr("services.points.programme.MAX_AGE", timedelta(days=1))
    assert await points.record(request) == first


async def test_another_currency_is_refused(points: Points, platform: Platform) -> None:
    member = await platform.member()
    assert await refusal(points.record(receipt(member.code, currency_code="EUR"))) == (
        "CURRENCY_NOT_SUPPORTED",
        grpc.StatusCode.INVALID_ARGUMENT,
        {"currency_code": "EUR", "expected": "USD"},
    )


@pytest.mark.covers("P1 PurchaseService.RecordPurchase")
@pytest.mark.parametrize("age", [timedelta(days=30, minutes=1), timedelta(minutes=-3)])
async def test_a_sale_of_another_time_is_refused(points: Points, platform: Platform, age: timedelta) -> None:
    member = await platform.member()
    now = datetime.now(UTC)
    answer, code, metadata = await refusal(points.record(receipt(member.code, sold_at=sold(now - age))))
    assert (answer, code) == ("SALE_TIME_OUT_OF_RANGE", grpc.StatusCode.INVALID_ARGUMENT)
    assert abs(datetime.fromisoformat(metadata["earliest"]) - now + timedelta(days=30)) < timedelta(minutes=1)
    assert abs(datetime.fromisoformat(metadata["latest"]) - now - timedelta(minutes=2)) < timedelta(minutes=1)


@pytest.mark.parametrize("age", [timedelta(days=29, hours=23), timedelta(minutes=-1)])
async def test_a_late_sale_and_a_fast_clock_are_taken(
    points: Points, platform: Platform, age: timedelta
) -> None:
    member = await platform.member()
    await points.record(receipt(member.code, sold_at=sold(datetime.now(UTC) - age)))
    assert await points.balance(member) == 1


async def test_a_receipt_beyond_the_limit_is_refused(points: Points, platform: Platform) -> None:
    member = await platform.member()
    at_limit = receipt(member.code, item(10**10, 10))
    assert (await points.record(at_limit)).purchase.points == 10**8
    beyond = receipt(member.code, item(10**10, 10, alcohol=True), item(1))
    assert await refusal(points.record(beyond)) == (
        "RECEIPT_TOO_LARGE",
        grpc.StatusCode.INVALID_ARGUMENT,
        {"limit_minor": "100000000000"},
    )
    huge = receipt(member.code, *[item(10**10, 100_000)] * 500)
    assert await reason(points.record(huge)) == "RECEIPT_TOO_LARGE"


def test_a_receipt_that_earns_beyond_any_balance_is_refused() -> None:
    generous, rate = Programme("USD", ZoneInfo("UTC"), 0, 14, RefundPolicy.DEBT, 0), Rate(1_000, 1)
    now = datetime.now(UTC)
    for eligible, expected in ((2_147_483, None), (2_147_484, "BALANCE_LIMIT_REACHED")):
        refused = generous.refusal(
            currency_code="USD",
            sold_at=now,
            total_minor=eligible,
            points=rate.earned(eligible),
            now=now,
        )
        assert (refused.reason if refused else None) == expected


@pytest.mark.parametrize("code", ["NOBODY", "0123456789AB", "---", " ", "ÄÖÜß", "ß" * 64, "A" * 64])
async def test_a_code_that_nobody_has_is_refused(points: Points, code: str) -> None:
    assert await refusal(points.record(receipt(code))) == (
        "MEMBER_CODE_UNKNOWN",
        grpc.StatusCode.NOT_FOUND,
        {},
    )


def _item(**fields: Any) -> dict[str, Any]:
    wanted: dict[str, Any] = {"sku": "1", "name": "Bread", "unit_price_minor": 1_000, "quantity": 1}
    return {"items": [purchase_pb2.PurchaseItem(**(wanted | fields))]}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"member_code": "A" * 65}, "member_code"),
        ({"receipt_number": ""}, "receipt_number"),
        ({"receipt_number": "1" * 65}, "receipt_number"),
        ({"receipt_number": "1\0"}, "receipt_number"),
        ({"till_number": "1" * 33}, "till_number"),
        ({"till_number": "\0"}, "till_number"),
        ({"sold_at": None}, "sold_at"),
        ({"sold_at": timestamp_pb2.Timestamp(seconds=10**18)}, "sold_at"),
        ({"sold_at": timestamp_pb2.Timestamp(seconds=1_700_000_000, nanos=-1)}, "sold_at"),
        ({"currency_code": ""}, "currency_code"),
        ({"currency_code": "usd"}, "currency_code"),
        ({"items": []}, "items"),
        ({"items": [item()] * 501}, "items"),
        (_item(sku=""), "items[0].sku"),
        (_item(sku="1" * 65), "items[0].sku"),
        (_item(sku="\0"), "items[0].sku"),
        (_item(name=""), "items[0].name"),
        (_item(name="n" * 201), "items[0].name"),
        (_item(name="Br\0ead"), "items[0].name"),
        (_item(category="c" * 65), "items[0].category"),
        (_item(category="\0"), "items[0].category"),
        (_item(unit_price_minor=-1), "items[0].unit_price_minor"),
        (_item(unit_price_minor=10**10 + 1), "items[0].unit_price_minor"),
        (_item(quantity=0), "items[0].quantity"),
        (_item(quantity=-1), "items[0].quantity"),
        (_item(quantity=100_001), "items[0].quantity"),
    ],
)
async def test_a_field_that_breaks_its_rule_is_named(
    points: Points, fields: dict[str, Any], named: str
) -> None:
    request = receipt(**({"member_code": "ANY"} | fields))
    status, code = await refused_status(points.record(request))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    found = error_details_pb2.BadRequest()
    assert any(detail.Unpack(found) for detail in status.details)
    assert [violation.field for violation in found.field_violations] == [named]


async def test_a_code_with_a_nul_character_is_nobodys(points: Points, platform: Platform) -> None:
    member = await platform.member()
    assert await reason(points.record(receipt(f"{member.code}\0"))) == "MEMBER_CODE_UNKNOWN"


async def test_texts_come_back_as_they_were_sent(points: Points, platform: Platform) -> None:
    member = await platform.member()
    odd = "{\"a\\b\",NULL} 'q' \n ü 漢 🍞"
    line = purchase_pb2.PurchaseItem(
        sku=odd, name=odd, category="NULL", unit_price_minor=1_000, quantity=1, alcohol=False
    )
    reply = await points.record(receipt(member.code, line, receipt_number=odd + str(uuid4())))
    assert reply.purchase.receipt_number.startswith(odd)
    assert await points.lines(reply.purchase.id) == [(1, odd, odd, "NULL", 1_000, 1, False)]


async def test_every_line_is_kept(points: Points, platform: Platform) -> None:
    member = await platform.member()
    reply = await points.record(receipt(member.code, item(100, 2), item(300, 1, alcohol=True)))
    assert await points.lines(reply.purchase.id) == [
        (1, "4711", "Bread", "bakery", 100, 2, False),
        (2, "4711", "Bread", "bakery", 300, 1, True),
    ]


async def test_only_tills_record(points: Points, platform: Platform) -> None:
    member = await platform.member()
    request = receipt(member.code)
    assert await refusal(points.record(request, token=member.token)) == (
        "ROLE_NOT_ALLOWED",
        grpc.StatusCode.PERMISSION_DENIED,
        {"role": "member"},
    )
    assert await reason(points.record(request, token=await platform.admin())) == "ROLE_NOT_ALLOWED"
    assert await reason(points.record(request, token=points.vouchers)) == "TOKEN_NOT_VALID"
    assert await points.balance(member) == 0
