"""Redeeming the codes of a basket with its sale: all or none, and once."""

from __future__ import annotations

from collections import Counter

import grpc
import pytest
from scrip.identity.v1 import audit_pb2, audit_pb2_grpc
from scrip.points.v1 import purchase_pb2, purchase_pb2_grpc

from services.common.caller import TILL
from services.common.encoding import timestamp
from services.common.ids import new_id, utc_now
from services.promos.tests.baskets_help import (
    Baskets,
    amount,
    line,
    new_sale,
    percent,
)
from services.promos.tests.support import at_once
from tests.inprocess import bearer, eventually, reason, refusal

NOWHERE = "7" * 12


@pytest.mark.covers("C5 BasketService.RedeemBasket", "C5 BasketService.QuoteBasket")
async def test_what_is_quoted_is_redeemed_and_the_purchase_names_it(baskets: Baskets) -> None:
    promos = baskets.promos
    member = await promos.platform.member()
    tenth = await baskets.code(percent(10), owner=member.id)
    five = await baskets.code(amount(500, minimum_spend=3_000))
    basket = [line(2_505, "bakery"), line(1_000, "fruit")]
    quote = await baskets.quote(basket, tenth, five, member_code=member.code)
    sale = new_sale()
    redeemed = await baskets.redeem(basket, tenth, five, member_code=member.code, sale_reference=sale)
    assert list(redeemed.lines) == list(quote.lines)
    assert (redeemed.total, redeemed.discount, redeemed.payable) == (
        quote.total,
        quote.discount,
        quote.payable,
    )
    assert [(one.code_id, one.discount_minor) for one in redeemed.codes] == [
        (str(tenth.id), 351),  # 350.5, rounded half up
        (str(five.id), 500),
    ]
    kept = await promos.list_redemptions(sale_reference=sale)
    discounts = {one.id: (one.code_id, one.discount.amount_minor) for one in kept.redemptions}
    assert discounts == {one.redemption_id: (one.code_id, one.discount_minor) for one in redeemed.codes}
    assert all(one.redeemed_at == redeemed.redeemed_at for one in kept.redemptions)

    stub = purchase_pb2_grpc.PurchaseServiceStub(promos.platform.channels["points"])
    receipt = purchase_pb2.RecordPurchaseRequest(
        member_code=member.code,
        receipt_number=sale,
        sold_at=timestamp(utc_now()),
        currency_code="USD",
        items=[
            purchase_pb2.PurchaseItem(
                sku="1",
                name="Something",
                category=sold.category,
                unit_price_minor=sold.unit_price_minor,
                quantity=1,
                total_minor=left.payable_minor,
            )
            for sold, left in zip(basket, redeemed.lines, strict=True)
        ],
        total_minor=redeemed.payable.amount_minor,
        redemption_ids=[one.redemption_id for one in redeemed.codes],
    )
    bought = await stub.RecordPurchase(receipt, metadata=bearer(promos.till))
    assert bought.purchase.total == redeemed.payable
    assert list(bought.purchase.redemption_ids) == [one.redemption_id for one in redeemed.codes]


@pytest.mark.covers("C5 BasketService.RedeemBasket")
async def test_a_code_that_does_not_apply_refuses_all_for_its_own_reason(baskets: Baskets) -> None:
    good = await baskets.code(percent(10))
    used = await baskets.code(percent(10))
    await baskets.redeem([line(1_000)], used)
    small = await baskets.code(percent(10, minimum_spend=5_000))
    toys = await baskets.code(percent(10, categories=("toys",)))
    alone = await baskets.code(percent(10, exclusive=True))
    limited = await baskets.code(percent(10), uses_per_member=1)
    for bad, why in (
        (NOWHERE, "CODE_NOT_VALID"),
        (used, "CODE_ALREADY_USED"),
        (small, "MINIMUM_SPEND_NOT_REACHED"),
        (toys, "NO_LINE_APPLIES"),
        (alone, "CODE_NOT_COMBINABLE"),
        (limited, "MEMBER_REQUIRED"),
        (good, "CODE_GIVEN_TWICE"),
    ):
        assert await reason(baskets.redeem([line(1_000)], good, bad)) == why
    assert await reason(baskets.redeem([line(0)], good)) == "NOTHING_LEFT_TO_DISCOUNT"
    name, status, metadata = await refusal(baskets.redeem([line(1_000)], good, small))
    assert (name, status) == ("MINIMUM_SPEND_NOT_REACHED", grpc.StatusCode.FAILED_PRECONDITION)
    assert metadata["spent_minor"] == "1000"
    assert await baskets.uses(good) == 0
    await baskets.redeem([line(1_000)], good)


@pytest.mark.covers("C5 BasketService.RedeemBasket")
async def test_a_refused_sale_can_be_sent_again_with_other_codes(baskets: Baskets) -> None:
    good, sale = await baskets.code(percent(10)), new_sale()
    assert await reason(baskets.redeem([line(1_000)], good, NOWHERE, sale_reference=sale)) == "CODE_NOT_VALID"
    redeemed = await baskets.redeem([line(1_000)], good, sale_reference=sale)
    assert redeemed.discount.amount_minor == 100


@pytest.mark.covers("C5 BasketService.RedeemBasket")
async def test_a_repetition_gets_the_same_reply_and_other_content_a_conflict(baskets: Baskets) -> None:
    code, other, sale = await baskets.code(percent(10)), await baskets.code(percent(20)), new_sale()
    first = await baskets.redeem([line(1_000)], code, sale_reference=sale)
    # The total that the line has anyway, and another spelling of the code, are the same content.
    spaced = " ".join(code.text).lower()
    for again in (
        baskets.redeem([line(1_000)], code, sale_reference=sale),
        baskets.redeem([line(1_000, total_minor=1_000)], spaced, sale_reference=sale),
    ):
        assert await again == first
    for conflict in (
        baskets.redeem([line(1_001)], code, sale_reference=sale),
        baskets.redeem([line(1_000)], other, sale_reference=sale),
        baskets.redeem([line(1_000)], code, other, sale_reference=sale),
        baskets.redeem([line(1_000)], NOWHERE, sale_reference=sale),
    ):
        name, status, metadata = await refusal(conflict)
        assert (name, status) == ("REDEMPTION_CONFLICT", grpc.StatusCode.ALREADY_EXISTS)
        assert metadata == {"redemption_id": first.codes[0].redemption_id}
    assert await baskets.uses(other) == 0
    assert await baskets.uses(code) == 1


@pytest.mark.covers("C5 BasketService.RedeemBasket")
async def test_a_repetition_needs_no_member_code_that_is_over_by_then(baskets: Baskets) -> None:
    platform = baskets.promos.platform
    member = await platform.member()
    code, sale = await baskets.code(percent(10), uses=5, uses_per_member=1), new_sale()
    signed = platform.signed_code(member)
    first = await baskets.redeem([line(1_000)], code, member_code=signed, sale_reference=sale)
    await platform.close_account(member)
    again = await baskets.redeem([line(1_000)], code, member_code=signed, sale_reference=sale)
    assert again == first
    assert await reason(baskets.redeem([line(1_000)], code, member_code=member.code)) == "MEMBER_CODE_UNKNOWN"


@pytest.mark.covers("C5 BasketService.RedeemBasket")
async def test_tills_of_one_store_server_have_sales_of_their_own(baskets: Baskets) -> None:
    code, sale = await baskets.code(percent(10), uses=2), new_sale()
    first = await baskets.redeem([line(1_000)], code, sale_reference=sale, till_number="1")
    second = await baskets.redeem([line(2_000)], code, sale_reference=sale, till_number="2")
    assert first.codes[0].redemption_id != second.codes[0].redemption_id
    third = baskets.redeem([line(2_000)], code, sale_reference=sale, till_number="3")
    assert await reason(third) == "CODE_ALREADY_USED"


@pytest.mark.covers("C5 BasketService.RedeemBasket")
async def test_a_code_redeemed_for_the_sale_without_its_basket_is_a_conflict(baskets: Baskets) -> None:
    code, sale = await baskets.code(percent(10), uses=2), new_sale()
    plain = await baskets.promos.redeem(code.text, sale)
    name, _, metadata = await refusal(baskets.redeem([line(1_000)], code, sale_reference=sale))
    assert (name, metadata) == ("REDEMPTION_CONFLICT", {"redemption_id": plain.id})
    assert await baskets.uses(code) == 1


@pytest.mark.covers("C5 BasketService.RedeemBasket", "C2 CodeService.CancelRedemption")
async def test_a_cancelled_redemption_frees_the_code_for_another_sale(baskets: Baskets) -> None:
    one, two, sale = await baskets.code(percent(10)), await baskets.code(percent(20)), new_sale()
    redeemed = await baskets.redeem([line(1_000)], one, two, sale_reference=sale)
    cancelled = redeemed.codes[0].redemption_id
    await baskets.promos.cancel(cancelled)
    name, _, metadata = await refusal(baskets.redeem([line(1_000)], one, two, sale_reference=sale))
    assert (name, metadata) == ("REDEMPTION_CANCELLED", {"redemption_id": cancelled})
    await baskets.redeem([line(1_000)], one)
    assert await baskets.uses(two) == 1


@pytest.mark.covers("C5 BasketService.RedeemBasket")
async def test_one_basket_sent_fifty_times_at_once_is_redeemed_once(baskets: Baskets) -> None:
    one, two, sale = await baskets.code(percent(10)), await baskets.code(amount(100), uses=50), new_sale()
    replies, refusals = await at_once(
        baskets.redeem([line(1_000)], one, two, sale_reference=sale) for _ in range(50)
    )
    assert refusals == Counter()
    assert len(replies) == 50
    assert {reply.SerializeToString(deterministic=True) for reply in replies} == {
        replies[0].SerializeToString(deterministic=True)
    }
    assert (await baskets.uses(one), await baskets.uses(two)) == (1, 1)


@pytest.mark.covers("C5 BasketService.RedeemBasket")
async def test_fifty_tills_with_the_same_codes_use_them_as_often_as_allowed(baskets: Baskets) -> None:
    one, two = await baskets.code(percent(10), uses=7), await baskets.code(amount(100), uses=20)
    tills = [await baskets.promos.platform.token(TILL, new_id()) for _ in range(10)]
    before = baskets.promos.platform.deadlocks()
    replies, refusals = await at_once(
        baskets.redeem([line(1_000)], *((one, two) if turn % 2 else (two, one)), token=tills[turn % 10])
        for turn in range(50)
    )
    assert len(replies) == 7
    assert refusals == {"CODE_ALREADY_USED": 43}
    assert (await baskets.uses(one), await baskets.uses(two)) == (7, 7)
    assert baskets.promos.platform.deadlocks() == before


@pytest.mark.covers("C5 BasketService.RedeemBasket")
async def test_codes_with_conditions_are_redeemed_here_alone(baskets: Baskets) -> None:
    code = await baskets.code(percent(10, minimum_spend=500))
    assert await reason(baskets.promos.redeem(code.text, new_sale())) == "BASKET_REQUIRED"
    await baskets.redeem([line(1_000)], code)


@pytest.mark.covers("C5 BasketService.RedeemBasket")
async def test_staff_who_redeem_leave_an_audit_entry_without_the_code(baskets: Baskets) -> None:
    code = await baskets.code(percent(10))
    redeemed = await baskets.redeem([line(1_000)], code, token=await baskets.promos.platform.token("cashier"))
    stub = audit_pb2_grpc.AuditServiceStub(baskets.promos.platform.channels["identity"])
    request = audit_pb2.ListAuditEntriesRequest(target_id=str(code.id))

    async def check() -> None:
        found = await stub.ListAuditEntries(request, metadata=bearer(baskets.promos.admin))
        assert [entry.action for entry in found.entries] == ["code.redeemed"]
        assert redeemed.codes[0].redemption_id in str(found)
        assert code.text not in str(found)

    await eventually(check)
