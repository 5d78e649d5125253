"""The programme as anybody reads it, and all of points in currencies with other decimals."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError
from scrip.common.v1 import money_pb2
from scrip.points.v1 import (
    admin_pb2,
    earn_effect_pb2,
    points_pb2,
    points_pb2_grpc,
    programme_pb2,
    programme_pb2_grpc,
)

from services.points.programme import PointValue, RefundPolicy
from services.points.settings import Settings
from services.points.tests.earn_rule_help import Staff
from services.points.tests.own_service import own_service
from services.points.tests.returns import refund, split
from services.points.tests.support import Points, item, receipt
from tests.inprocess import Member, Platform, bearer, eventually, reason, refusal

CURRENCIES = [("JPY", 0), ("USD", 2), ("KWD", 3)]


async def programme(points: Points) -> programme_pb2.Programme:
    """Returns the programme, as somebody without a token reads it."""
    stub = programme_pb2_grpc.ProgrammeServiceStub(points.channel)
    return (await stub.GetProgramme(programme_pb2.GetProgrammeRequest())).programme


@pytest.mark.covers("P4 ProgrammeService.GetProgramme")
async def test_anybody_reads_what_the_retailer_decided(platform: Platform) -> None:
    async with own_service(
        platform,
        programme_name="Ada's Corner",
        currency="JPY",
        time_zone=ZoneInfo("Asia/Tokyo"),
        phone_regions="JP,US",
        consent_wording="They may write to me.",
        consent_version="2026-11",
        expire_months=12,
        refund_policy=RefundPolicy.NEGATIVE_BALANCE,
        point_value_points=100,
        point_value_minor=250,
        earn_points=2,
        earn_per_minor=100,
    ) as own:
        assert await programme(own) == programme_pb2.Programme(
            name="Ada's Corner",
            currency_code="JPY",
            currency_decimals=0,
            time_zone="Asia/Tokyo",
            base_rate=earn_effect_pb2.BaseRate(points=2, per_minor=100),
            point_value=programme_pb2.PointValue(
                points=100, value=money_pb2.Money(currency_code="JPY", amount_minor=250)
            ),
            expire_months=12,
            refund_policy=admin_pb2.REFUND_POLICY_NEGATIVE_BALANCE,
            phone_regions=["JP", "US"],
            consent_wording="They may write to me.",
            consent_version="2026-11",
        )


@pytest.mark.covers("P4 ProgrammeService.GetProgramme")
async def test_what_was_not_decided_is_absent(points: Points) -> None:
    stub: Any = programme_pb2_grpc.ProgrammeServiceStub(points.channel)
    told = (await stub.GetProgramme(programme_pb2.GetProgrammeRequest())).programme
    assert (told.currency_code, told.currency_decimals, told.time_zone) == ("USD", 2, "UTC")
    assert not told.HasField("point_value")
    assert list(told.phone_regions) == []
    assert told.consent_wording
    assert told.consent_version
    assert (told.expire_months, told.refund_policy) == (0, admin_pb2.REFUND_POLICY_DEBT)


@pytest.mark.covers("P4 ProgrammeService.GetProgramme")
async def test_the_base_rate_is_that_of_the_rules_in_force(staff: Staff, points: Points) -> None:
    assert (await programme(points)).base_rate == earn_effect_pb2.BaseRate(points=1, per_minor=1_000)
    triple = earn_effect_pb2.BaseRate(points=3, per_minor=1_000)
    await staff.create(base_rate=triple)

    async def in_force() -> None:
        assert (await programme(points)).base_rate == triple

    await eventually(in_force)


# Currencies with no decimals, and with three.


async def worth(points: Points, member: Member) -> points_pb2.GetMyBalanceResponse:
    """Returns the member's balance and what it is worth."""
    stub = points_pb2_grpc.PointsServiceStub(points.channel)
    return await stub.GetMyBalance(points_pb2.GetMyBalanceRequest(), metadata=bearer(member.token))


@pytest.mark.parametrize(("currency", "decimals"), CURRENCIES)
async def test_points_are_earned_shown_and_taken_back_in_any_currency(
    platform: Platform, currency: str, decimals: int
) -> None:
    """An amount of a hundred and a point for each ten, whatever the minor units are."""
    unit = 10**decimals
    value = {"point_value_points": 3, "point_value_minor": 2 * unit}
    async with own_service(platform, currency=currency, earn_per_minor=10 * unit, **value) as own:
        told = await programme(own)
        assert (told.currency_code, told.currency_decimals) == (currency, decimals)
        member = await platform.member()
        bought = receipt(member.code, item(25 * unit, 4), currency_code=currency)
        purchase = (await own.record(bought)).purchase
        assert purchase.total == money_pb2.Money(currency_code=currency, amount_minor=100 * unit)
        assert purchase.points == 10
        balance = await worth(own, member)
        expected = money_pb2.Money(currency_code=currency, amount_minor=20 * unit // 3)
        assert (balance.balance, balance.value) == (10, expected)
        back = await refund(own, purchase.id, lines=[(1, 1)])
        assert back.refund.amount == money_pb2.Money(currency_code=currency, amount_minor=25 * unit)
        assert split(back) == (3, 3, 0, 0, 0)
        staff = Staff(own, await platform.admin())
        tried = await staff.dry_run(item(25 * unit, 4))
        assert (tried.points, tried.total) == (10, purchase.total)
        other = "EUR" if currency != "EUR" else "USD"
        refused, _, metadata = await refusal(own.record(receipt(member.code, currency_code=other)))
        assert (refused, metadata) == (
            "CURRENCY_NOT_SUPPORTED",
            {"currency_code": other, "expected": currency},
        )
        assert await reason(staff.dry_run(item(1), currency_code=other)) == "CURRENCY_NOT_SUPPORTED"
        await own.assert_balanced()


async def test_without_a_value_a_balance_has_none(points: Points, platform: Platform) -> None:
    member = await platform.member()
    await points.earn(member, 5)
    assert not (await worth(points, member)).HasField("value")


@pytest.mark.parametrize(
    ("balance", "expected"), [(0, 0), (-7, 0), (1, 0), (2, 1), (3, 2), (2**31 - 1, (2**32 - 2) // 3)]
)
def test_what_points_are_worth_is_rounded_down(balance: int, expected: int) -> None:
    assert PointValue(3, 2, "JPY").of(balance) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"currency": "UDS"},
        {"currency": "usd"},
        {"currency": ""},
        {"time_zone": "Mars/Olympus"},
        {"programme_name": ""},
        {"consent_version": "x" * 65},
        {"phone_regions": "US, CA"},
        {"point_value_points": 0},
        {"point_value_minor": -1},
    ],
    ids=str,
)
def test_a_wrong_setting_of_the_programme_is_refused(platform: Platform, wrong: dict[str, Any]) -> None:
    given = platform.settings["points"].model_dump() | wrong
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Settings(**given)
