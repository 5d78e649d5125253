"""Changing vouchers, putting them on sale and off, and what must stay as it was."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from scrip.common.v1 import money_pb2
from scrip.promos.v1 import code_pb2
from scrip.vouchers.v1 import (
    catalogue_pb2,
    catalogue_pb2_grpc,
    order_pb2,
    shop_pb2,
    shop_pb2_grpc,
    wallet_pb2,
    wallet_pb2_grpc,
)

from services.common.db import execute
from services.common.encoding import timestamp
from services.common.ids import new_id
from services.vouchers.tests.support import Create, Earn, Order, without_codes
from tests.inprocess import Member, Platform, as_client, bearer, eventually, reason, refusal, refused_status

DRAFT, SCHEDULED = catalogue_pb2.VOUCHER_STATE_DRAFT, catalogue_pb2.VOUCHER_STATE_SCHEDULED
ON_SALE, ENDED = catalogue_pb2.VOUCHER_STATE_ON_SALE, catalogue_pb2.VOUCHER_STATE_ENDED
INACTIVE, ARCHIVED = catalogue_pb2.VOUCHER_STATE_INACTIVE, catalogue_pb2.VOUCHER_STATE_ARCHIVED

Change = Callable[..., Awaitable[catalogue_pb2.Voucher]]


@pytest.fixture
def change(platform: Platform) -> Change:
    """Updates, publishes, deactivates or archives a voucher as an admin."""
    stub = catalogue_pb2_grpc.CatalogueServiceStub(platform.channels["vouchers"])

    async def call(what: str, voucher_id: str, **fields: Any) -> catalogue_pb2.Voucher:
        request = getattr(catalogue_pb2, f"{what}VoucherRequest")(voucher_id=voucher_id, **fields)
        reply = await getattr(stub, f"{what}Voucher")(request, metadata=bearer(await platform.admin()))
        found: catalogue_pb2.Voucher = reply.voucher
        return found

    return call


def usd(minor: int) -> money_pb2.Money:
    return money_pb2.Money(currency_code="USD", amount_minor=minor)


def in_days(days: float) -> Timestamp:
    found = timestamp(datetime.now(UTC) + timedelta(days=days))
    assert found
    return found


async def completed(order: Order, member: Member, voucher_id: str) -> order_pb2.Order:
    """Orders, and waits for codes that are being made, and for Redis, which may say for a second that it is
    sold out."""
    key = str(new_id())

    async def had() -> order_pb2.Order:
        try:
            found = (await order(member, voucher_id, key)).order
        except grpc.aio.AioRpcError as error:
            raise AssertionError(error.details()) from error
        assert found.state == order_pb2.ORDER_STATE_COMPLETED
        return found

    return await eventually(had)


@pytest.mark.covers("V1 CatalogueService.UpdateVoucher")
async def test_what_is_given_changes_what_is_cleared_is_emptied_and_the_rest_stays(
    create: Create, change: Change
) -> None:
    made = await create(description="Old", sale_ends_at=in_days(9))
    changed = await change(
        "Update",
        made.id,
        etag=made.etag,
        title=" New ",
        price=usd(400),
        price_rule=catalogue_pb2.PRICE_RULE_TOGETHER,
        buy_type=catalogue_pb2.BUY_TYPE_GIFT,
        max_gifts_per_recipient=3,
        max_per_member=2,
        cancel_days=7,
        clear=["description", "sale_ends_at"],
    )
    expected = catalogue_pb2.Voucher()
    expected.CopyFrom(made)
    expected.title, expected.description, expected.etag = "New", "", changed.etag
    expected.price.CopyFrom(usd(400))
    expected.price_rule = catalogue_pb2.PRICE_RULE_TOGETHER
    expected.buy_type = catalogue_pb2.BUY_TYPE_GIFT
    expected.max_gifts_per_recipient, expected.max_per_member, expected.cancel_days = 3, 2, 7
    expected.ClearField("sale_ends_at")
    assert without_codes(changed) == without_codes(expected)
    assert changed.etag != made.etag
    # Nothing is asked for, so nothing changes.
    assert without_codes(await change("Update", made.id)) == without_codes(changed)
    back = await change("Update", made.id, clear=["price"], price_rule=catalogue_pb2.PRICE_RULE_EITHER)
    assert not back.HasField("price")


@pytest.mark.covers("V1 CatalogueService.UpdateVoucher")
async def test_of_two_who_read_the_same_one_is_told_that_the_other_was_faster(
    create: Create, change: Change
) -> None:
    made = await create()
    calls = [change("Update", made.id, etag=made.etag, title=f"Title {number}") for number in range(2)]
    done = await asyncio.gather(*calls, return_exceptions=True)
    [changed] = [one for one in done if isinstance(one, catalogue_pb2.Voucher)]
    for what in ("Update", "Publish", "Deactivate", "Archive"):
        told = await refusal(change(what, made.id, etag=made.etag))
        assert told == ("ETAG_MISMATCH", grpc.StatusCode.ABORTED, {"etag": changed.etag})


@pytest.mark.covers("V1 CatalogueService.UpdateVoucher", "V1 CatalogueService.PublishVoucher")
async def test_a_draft_changes_in_every_way_and_what_was_published_keeps_what_codes_are_worth(
    platform: Platform, create: Create, change: Change, earn: Earn, order: Order
) -> None:
    made = await create(draft=True, valid_days=30)
    assert made.state == DRAFT
    benefit = code_pb2.Benefit(percent_off=20, minimum_spend=usd(5_000))
    draft = await change("Update", made.id, benefit=benefit, valid_days=3, codes_expire_at=in_days(60))
    assert (draft.benefit, draft.valid_days, draft.HasField("face_value")) == (benefit, 3, False)
    published = await change("Publish", made.id)
    assert published.state == ON_SALE
    for field, value in (
        ("face_value", usd(500)),
        ("benefit", code_pb2.Benefit(percent_off=21)),
        ("codes_expire_at", in_days(61)),
        ("valid_days", 4),
    ):
        told = await refusal(change("Update", made.id, **{field: value}))
        assert told[::2] == ("VOUCHER_HAS_CODES", {"voucher_id": made.id, "field": field})
    assert (await change("Update", made.id, price_points=300, valid_days=3)).price_points == 300
    member = await platform.member()
    await earn(member, 300)
    bought = await completed(order, member, made.id)
    assert bought.price_points == 300
    wallet = wallet_pb2_grpc.WalletServiceStub(platform.channels["vouchers"])
    request = wallet_pb2.GetMyVoucherRequest(wallet_voucher_id=bought.wallet_voucher_id)
    owned = (await wallet.GetMyVoucher(request, metadata=bearer(member.token))).voucher
    left = owned.expires_at.ToDatetime(tzinfo=UTC) - datetime.now(UTC)
    assert timedelta(days=2.9) < left <= timedelta(days=3)


@pytest.mark.covers("V1 CatalogueService.UpdateVoucher", "V4 CatalogueService.UpdateVoucher")
async def test_a_quantity_is_raised_and_lowered_but_never_below_what_is_ordered(
    platform: Platform, create: Create, change: Change, earn: Earn, order: Order
) -> None:
    made, member = await create(quantity=3), await platform.member()
    await earn(member, 5 * 500)
    for _ in range(2):
        await order(member, made.id)
    told = await refusal(change("Update", made.id, quantity=1))
    metadata = {"voucher_id": made.id, "issued": "2"}
    assert told == ("VOUCHER_QUANTITY_TOO_SMALL", grpc.StatusCode.FAILED_PRECONDITION, metadata)
    lowered = await change("Update", made.id, quantity=2)
    assert (lowered.quantity, lowered.quantity_left) == (2, 0)
    assert await reason(order(member, made.id)) == "SOLD_OUT"
    raised = await change("Update", made.id, quantity=5)
    assert raised.quantity_left == 3
    await completed(order, member, made.id)


@pytest.mark.covers("V4 CatalogueService.UpdateVoucher")
async def test_a_quantity_that_is_lowered_while_members_order_stays_with_what_they_got(
    platform: Platform, create: Create, change: Change, earn: Earn, order: Order
) -> None:
    made, member = await create(quantity=8), await platform.member()
    await earn(member, 8 * 500)
    orders = [order(member, made.id) for _ in range(8)]
    lowering = [change("Update", made.id, quantity=quantity) for quantity in (6, 4, 2, 1)]
    done = await asyncio.gather(*orders, *lowering, return_exceptions=True)
    placed = [one for one in done if isinstance(one, order_pb2.PlaceOrderResponse)]
    voucher = await change("Update", made.id)
    assert voucher.quantity - voucher.quantity_left == len(placed)
    assert voucher.quantity_left >= 0


@pytest.mark.covers(
    "V1 CatalogueService.PublishVoucher",
    "V1 CatalogueService.DeactivateVoucher",
    "V1 CatalogueService.ArchiveVoucher",
)
async def test_a_voucher_goes_on_sale_and_off_until_it_is_archived(
    platform: Platform, create: Create, change: Change, order: Order
) -> None:
    made, member = await create(draft=True), await platform.member()
    shop = shop_pb2_grpc.ShopServiceStub(platform.channels["vouchers"])

    async def offered() -> bool:
        call = shop.GetOffer(shop_pb2.GetOfferRequest(voucher_id=made.id))
        try:
            return bool(await call)
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.NOT_FOUND  # noqa: PT017  # the other outcome
            return False

    async def becomes(expected: bool) -> None:
        assert await offered() is expected

    async def shows(expected: bool) -> None:
        await eventually(lambda: becomes(expected))

    assert not await offered()
    assert await reason(change("Deactivate", made.id)) == "VOUCHER_NOT_PUBLISHED"
    scheduled = await change("Publish", made.id, sale_starts_at=in_days(2))
    assert scheduled.state == SCHEDULED
    assert not await offered()
    assert await reason(order(member, made.id)) == "VOUCHER_NOT_ON_SALE"
    now = await change("Publish", made.id, sale_starts_at=in_days(-1))
    assert now.state == ON_SALE
    await shows(True)
    assert without_codes(await change("Publish", made.id)) == without_codes(now)  # changes nothing
    off = await change("Deactivate", made.id, etag=now.etag)
    assert off.state == INACTIVE
    assert without_codes(await change("Deactivate", made.id)) == without_codes(off)
    await shows(False)
    assert await reason(order(member, made.id)) == "VOUCHER_NOT_ON_SALE"
    assert (await change("Publish", made.id)).state == ON_SALE
    archived = await change("Archive", made.id)
    assert archived.state == ARCHIVED
    assert without_codes(await change("Archive", made.id)) == without_codes(archived)
    for what in ("Update", "Publish", "Deactivate"):
        told = await refusal(change(what, made.id))
        assert told[::2] == ("VOUCHER_ARCHIVED", {"voucher_id": made.id})
    unknown = str(new_id())
    for what in ("Update", "Publish", "Deactivate", "Archive"):
        assert await reason(change(what, unknown)) == "VOUCHER_NOT_FOUND"


@pytest.mark.covers("V1 CatalogueService.PublishVoucher")
async def test_what_has_ended_is_published_only_with_another_end(
    platform: Platform, create: Create, change: Change
) -> None:
    made = await create()
    await platform.databases["vouchers"].run(
        execute,
        """
        UPDATE vouchers SET state = 'INACTIVE', sale_starts_at = '2026-01-01Z', sale_ends_at = '2026-02-01Z'
        WHERE id = %(id)s
        """,
        id=UUID(made.id),
    )
    told = await refusal(change("Publish", made.id))
    metadata = {"voucher_id": made.id, "sale_ends_at": "2026-02-01T00:00:00Z"}
    assert told == ("VOUCHER_SALE_OVER", grpc.StatusCode.FAILED_PRECONDITION, metadata)
    await change("Update", made.id, sale_ends_at=in_days(5))
    late = change("Publish", made.id, sale_starts_at=in_days(6))
    assert "sale_starts_at" in (await refused_status(late))[0].message
    assert (await change("Publish", made.id)).state == ON_SALE


@pytest.mark.covers("V1 CatalogueService.UpdateVoucher")
async def test_what_can_not_be_is_refused_with_the_field_named(create: Create, change: Change) -> None:
    made = await create(sale_ends_at=in_days(5))
    euros = money_pb2.Money(currency_code="EUR", amount_minor=500)
    bad: list[tuple[dict[str, object], str]] = [
        ({"title": " "}, "title"),
        ({"quantity": 0}, "quantity"),
        ({"price_points": 0}, "price_points"),
        ({"price": usd(0)}, "price"),
        ({"price_rule": catalogue_pb2.PRICE_RULE_TOGETHER}, "price_rule"),
        ({"max_gifts_per_recipient": 1}, "max_gifts_per_recipient"),
        ({"sale_starts_at": in_days(6)}, "sale_ends_at"),
        ({"sale_ends_at": in_days(-1)}, "sale_ends_at"),
        ({"clear": ["sale_ends_at"], "sale_ends_at": in_days(4)}, "clear"),
        ({"clear": ["title"]}, "clear"),
        ({"face_value": usd(1), "benefit": code_pb2.Benefit(percent_off=5)}, "benefit"),
    ]
    for fields, named in bad:
        status, code = await refused_status(change("Update", made.id, **fields))
        assert (code, named in status.message) == (grpc.StatusCode.INVALID_ARGUMENT, True), named
    assert await reason(change("Update", made.id, price=euros)) == "CURRENCY_NOT_SUPPORTED"
    assert without_codes(await change("Update", made.id)) == without_codes(made)


async def test_only_admins_and_managers_change_vouchers(platform: Platform, create: Create) -> None:
    made = await create()
    stub = catalogue_pb2_grpc.CatalogueServiceStub(platform.channels["vouchers"])
    for token in (await platform.token("cashier"), (await platform.member()).token):
        for what in ("Update", "Publish", "Deactivate", "Archive"):
            request = getattr(catalogue_pb2, f"{what}VoucherRequest")(voucher_id=made.id)
            call = as_client(getattr(stub, f"{what}Voucher"), request, metadata=bearer(token))
            assert await reason(call) == "ROLE_NOT_ALLOWED"
