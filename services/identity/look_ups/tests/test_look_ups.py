"""Looking members up at the counter, and who looked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc
import pytest
import redis.asyncio as redis
from scrip.common.v1 import money_pb2
from scrip.identity.v1 import look_up_pb2, look_up_pb2_grpc, member_pb2, member_pb2_grpc
from scrip.points.v1 import purchase_pb2, purchase_pb2_grpc
from scrip.promos.v1 import (
    brand_pb2,
    brand_pb2_grpc,
    campaign_pb2,
    campaign_pb2_grpc,
    claim_pb2,
    claim_pb2_grpc,
    code_pb2,
    code_pb2_grpc,
    discount_pb2,
    discount_pb2_grpc,
    promo_pb2,
    promo_pb2_grpc,
)
from scrip.vouchers.v1 import catalogue_pb2, catalogue_pb2_grpc, order_pb2, order_pb2_grpc

from services.common.encoding import timestamp
from services.common.ids import new_id, utc_now
from services.identity.look_ups.belongings import BelongingsReader
from services.identity.tests.own_identity import own_identity, redis_url
from services.identity.tests.people import People, outcomes
from tests.inprocess import Member, Platform, bearer, eventually, new_phone, reason, refusal, refused_status

Stub = look_up_pb2_grpc.LookUpServiceStub
Request = look_up_pb2.LookUpMemberRequest
NOWHERE = "ipv4:127.0.0.1:1"
OF_PROMOS = [
    look_up_pb2.LOOK_UP_PART_REWARDS,
    look_up_pb2.LOOK_UP_PART_CLAIMS,
    look_up_pb2.LOOK_UP_PART_PROMO_POINTS,
]


@pytest.fixture(scope="module")
def grpc_stub_cls() -> type[Stub]:
    return Stub


@pytest.fixture(scope="module")
async def till(platform: Platform) -> str:
    return await platform.token("till", new_id())


@pytest.fixture(scope="module")
async def rich(platform: Platform) -> AsyncIterator[Member]:
    """A member with points, and a coupon, a reward, a claimed code and promo points that can be used."""
    async with rich_member(platform) as member:
        yield member


@asynccontextmanager
async def rich_member(platform: Platform) -> AsyncIterator[Member]:
    """A new member with all that a till is told of; the campaign of the reward lasts as long as this."""
    admin = bearer(await platform.admin())
    campaigns = campaign_pb2_grpc.CampaignServiceStub(platform.channels["promos"])
    wanted = campaign_pb2.CreateCampaignRequest(
        name="First 5 of the look-ups", places=5, benefit=code_pb2.Benefit(percent_off=30)
    )
    campaign = (await campaigns.CreateCampaign(wanted, metadata=admin)).campaign
    member = await platform.member("Grace Hopper")
    await _buy(platform, member)
    catalogue = catalogue_pb2_grpc.CatalogueServiceStub(platform.channels["vouchers"])
    value = money_pb2.Money(currency_code="USD", amount_minor=500)
    offer = catalogue_pb2.CreateVoucherRequest(title="Five off", face_value=value, price_points=1, quantity=2)
    voucher = (await catalogue.CreateVoucher(offer, metadata=admin)).voucher.id
    orders = order_pb2_grpc.OrderServiceStub(platform.channels["vouchers"])
    order = order_pb2.PlaceOrderRequest(voucher_id=voucher)
    await orders.PlaceOrder(order, metadata=keyed(member.token))
    await _claim(platform, member)
    gift = promo_pb2.CreatePromoRequest(
        member_id=str(member.id), type=promo_pb2.PROMO_TYPE_WELCOME, description="Welcome, Grace", amount=100
    )
    promos = promo_pb2_grpc.PromoServiceStub(platform.channels["promos"])
    await promos.CreatePromo(gift, metadata=keyed(await platform.admin()))
    yield member
    await campaigns.EndCampaign(campaign_pb2.EndCampaignRequest(campaign_id=campaign.id), metadata=admin)


async def _claim(platform: Platform, member: Member) -> None:
    """Has a member claim a code of a new brand's discount."""
    channel, admin = platform.channels["promos"], await platform.admin()
    consents = member_pb2_grpc.MemberServiceStub(platform.channels["identity"])
    consent = member_pb2.SetMyConsentRequest(shares_contact=True, wording_version="1")
    await consents.SetMyConsent(consent, metadata=bearer(member.token))
    brands = brand_pb2_grpc.BrandServiceStub(channel)
    wanted = brand_pb2.CreateBrandRequest(name="Golden Crust", category="Bakeries")
    brand = (await brands.CreateBrand(wanted, metadata=keyed(admin))).brand.brand.id
    await brands.PublishBrand(brand_pb2.PublishBrandRequest(brand_id=brand), metadata=bearer(admin))
    manager = await platform.brand_manager(brand)
    discounts = discount_pb2_grpc.DiscountServiceStub(channel)
    offer = discount_pb2.CreateDiscountRequest(
        brand_id=brand, name="20 % off bread", quantity=1, benefit=code_pb2.Benefit(percent_off=20)
    )
    discount = (await discounts.CreateDiscount(offer, metadata=keyed(manager))).discount.id

    async def claimed() -> None:
        opened = discount_pb2.ActivateDiscountRequest(brand_id=brand, discount_id=discount)
        request = claim_pb2.ClaimCodeRequest(brand_id=brand, discount_id=discount)
        try:
            await discounts.ActivateDiscount(opened, metadata=bearer(manager))
            await claim_pb2_grpc.ClaimServiceStub(channel).ClaimCode(request, metadata=keyed(member.token))
        except grpc.aio.AioRpcError as error:  # the code is being made
            raise AssertionError(error.details()) from error

    await eventually(claimed, seconds=15)


def keyed(token: str) -> list[tuple[str, str]]:
    """Returns the metadata of a call with a key of its own."""
    return bearer(token, idempotency_key=str(new_id()))


async def _buy(platform: Platform, member: Member, code: str = "") -> None:
    request = purchase_pb2.RecordPurchaseRequest(
        member_code=code or member.code,
        receipt_number=str(new_id()),
        sold_at=timestamp(utc_now()),
        currency_code="USD",
        items=[purchase_pb2.PurchaseItem(sku="1", name="Bread", unit_price_minor=10_000, quantity=1)],
    )
    stub = purchase_pb2_grpc.PurchaseServiceStub(platform.channels["points"])
    await stub.RecordPurchase(request, metadata=bearer(await platform.till()))


async def look(stub: Stub, token: str, **by: str) -> look_up_pb2.LookUpMemberResponse:
    return await stub.LookUpMember(Request(**by), metadata=bearer(token))


def codes(found: look_up_pb2.LookUpMemberResponse) -> list[str]:
    """Returns the codes of coupons, rewards and claims as they are told."""
    return [one.code for part in (found.coupons, found.rewards, found.claims) for one in part]


@pytest.mark.covers("P9 LookUpService.LookUpMember", "P9 PointsInternalService.GetBalance")
@pytest.mark.covers(
    "P9 VouchersInternalService.GetUsableCoupons", "P9 PromosInternalService.GetUsableRewards"
)
@pytest.mark.covers("P9 PromosInternalService.GetUsableClaims", "P9 PromosInternalService.GetUsablePromos")
async def test_a_till_sees_a_masked_member_with_all_that_it_can_use(
    grpc_stub: Stub, platform: Platform, till: str, rich: Member
) -> None:
    async def whole() -> look_up_pb2.LookUpMemberResponse:
        found = await look(grpc_stub, till, member_code=rich.code)
        assert list(found.unavailable) == []
        assert found.coupons
        assert found.rewards
        return found

    found = await eventually(whole, seconds=15)
    assert found.member == look_up_pb2.LookedUpMember(
        full_name="Grace H.", state=member_pb2.MEMBER_STATE_ACTIVE
    )
    assert (found.points.balance > 0, found.points.debt) == (True, 0)
    [coupon] = found.coupons
    [reward] = [one for one in found.rewards if one.campaign_name == "First 5 of the look-ups"]
    assert (coupon.title, coupon.face_value.amount_minor) == ("Five off", 500)
    assert reward.percent_off == 30
    [claim] = found.claims
    assert (claim.brand_name, claim.discount_name, claim.percent_off) == (
        "Golden Crust",
        "20 % off bread",
        20,
    )
    assert all(codes(found))
    [promo] = found.promo_points.promos
    assert (promo.description, promo.remaining, found.promo_points.remaining) == ("Welcome, Grace", 100, 100)
    for secret in (str(rich.id), rich.phone, "Hopper"):
        assert secret not in str(found)


async def test_the_texts_of_codes_are_for_members_who_showed_a_code_themselves(
    grpc_stub: Stub, platform: Platform, till: str, rich: Member
) -> None:
    """Who knows a phone number could else redeem what its owner has. What a promo says may be personal."""
    cashier = await platform.token("cashier")

    async def told() -> None:
        for token in (till, cashier):
            by_phone = await look(grpc_stub, token, phone=rich.phone)
            assert set(codes(by_phone)) == {""}
            assert len(codes(by_phone)) >= 3
            assert by_phone.promo_points.remaining == 100
            assert [promo.description for promo in by_phone.promo_points.promos] == [""]
            for code in (rich.code, platform.signed_code(rich)):
                shown = await look(grpc_stub, token, member_code=code)
                assert len(codes(shown)) >= 3
                assert all(codes(shown))
                assert [promo.description for promo in shown.promo_points.promos] == ["Welcome, Grace"]

    await eventually(told, seconds=15)


async def test_who_has_nothing_has_no_points_and_nothing_to_use(
    grpc_stub: Stub, platform: Platform, till: str
) -> None:
    member = await platform.member()
    found = await look(grpc_stub, till, member_code=member.code)
    assert (list(found.coupons), found.points.balance, found.HasField("points")) == ([], 0, True)
    assert (list(found.claims), found.promo_points) == ([], look_up_pb2.LookedUpPromoPoints())


@pytest.mark.covers(
    "P9 VouchersInternalService.GetUsableCoupons", "P9 PromosInternalService.GetUsableRewards"
)
async def test_what_was_used_is_not_told_any_more(grpc_stub: Stub, platform: Platform, till: str) -> None:
    async with rich_member(platform) as member:

        async def whole() -> list[str]:
            found = codes(await look(grpc_stub, till, member_code=member.code))
            assert len(found) >= 3
            return found

        stub = code_pb2_grpc.CodeServiceStub(platform.channels["promos"])
        for code in await eventually(whole, seconds=15):
            sale = code_pb2.RedeemCodeRequest(code=code, sale_reference=str(new_id()))
            await stub.RedeemCode(sale, metadata=bearer(await platform.till()))
        use = promo_pb2.UsePromosRequest(member_code=member.code, amount=100, sale_reference=str(new_id()))
        promos = promo_pb2_grpc.PromoServiceStub(platform.channels["promos"])
        await promos.UsePromos(use, metadata=bearer(await platform.till()))
        found = await look(grpc_stub, till, member_code=member.code)
        assert (codes(found), list(found.unavailable)) == ([], [])
        assert (found.promo_points.remaining, list(found.promo_points.promos)) == (0, [])


async def test_a_signed_code_is_not_used_up_by_looking(
    grpc_stub: Stub, platform: Platform, till: str
) -> None:
    member = await platform.member()
    code = platform.signed_code(member)
    for _ in range(2):
        await look(grpc_stub, till, member_code=code)
    await _buy(platform, member, code)
    expired = platform.signed_code(member, utc_now() - timedelta(seconds=61))
    assert await reason(look(grpc_stub, till, member_code=expired)) == "MEMBER_CODE_EXPIRED"


async def test_numbers_and_codes_are_read_as_people_write_them(
    grpc_stub: Stub, platform: Platform, till: str
) -> None:
    member = await platform.member("Ada Lovelace")
    phone, code = member.phone, member.code
    for by in (
        {"phone": f"({phone[2:5]}) {phone[5:8]}-{phone[8:]}"},
        {"phone": f" {phone} "},
        {"member_code": f"{code[:4]}-{code[4:8]}-{code[8:]}".lower()},
    ):
        assert (await look(grpc_stub, till, **by)).member.full_name == "Ada L."


async def test_who_is_unknown_or_gone_is_not_found(
    grpc_stub: Stub, people: People, platform: Platform, till: str
) -> None:
    gone = await platform.member()
    await people.close(gone.token)
    not_found = grpc.StatusCode.NOT_FOUND
    for phone in (new_phone(), gone.phone):
        assert await refusal(look(grpc_stub, till, phone=phone)) == ("PHONE_UNKNOWN", not_found, {})
    for code in ("000000000000", gone.code, platform.signed_code(gone), "S1" + "0" * 59):
        refused = await refusal(look(grpc_stub, till, member_code=code))
        assert refused == ("MEMBER_CODE_UNKNOWN", not_found, {}), code


async def test_of_a_suspended_member_nothing_but_that_is_told(
    grpc_stub: Stub, people: People, platform: Platform, till: str
) -> None:
    member = await platform.member("Ada Lovelace")
    await people.suspend(member.id, await platform.token("manager"))
    for by in ({"phone": member.phone}, {"member_code": member.code}):
        assert await look(grpc_stub, till, **by) == look_up_pb2.LookUpMemberResponse(
            member=look_up_pb2.LookedUpMember(full_name="Ada L.", state=member_pb2.MEMBER_STATE_SUSPENDED)
        )


@pytest.mark.parametrize(
    ("by", "field"),
    [
        ({}, "request: exactly one of phone"),
        ({"phone": "12"}, "phone"),
        ({"phone": "not a number"}, "phone"),
        ({"member_code": ""}, ""),
    ],
)
async def test_a_malformed_look_up_is_refused(
    grpc_stub: Stub, till: str, by: dict[str, str], field: str
) -> None:
    status, code = await refused_status(look(grpc_stub, till, **by))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert field in status.message


async def test_members_are_looked_up_by_tills_and_cashiers_alone(grpc_stub: Stub, platform: Platform) -> None:
    member = await platform.member()
    for role in ("admin", "manager", "brand_manager", "member"):
        call = look(grpc_stub, await platform.token(role), phone=member.phone)
        assert await reason(call) == "ROLE_NOT_ALLOWED"


@pytest.mark.parametrize(
    ("away", "parts"),
    [
        ("points", [look_up_pb2.LOOK_UP_PART_POINTS]),
        ("vouchers", [look_up_pb2.LOOK_UP_PART_COUPONS]),
        ("promos", OF_PROMOS),
    ],
)
async def test_a_service_that_is_away_leaves_its_part_out_and_the_rest_is_told(
    platform: Platform, till: str, rich: Member, away: str, parts: list[look_up_pb2.LookUpPart.ValueType]
) -> None:
    """The customer at the till is greeted all the same; the reply says what is missing."""
    url = platform.postgres.url("identity")
    target: dict[str, Any] = {f"{away}_target": NOWHERE}
    async with own_identity(platform, database_url=url, **target) as own:

        async def told() -> None:
            found = await look(Stub(own.channel), till, member_code=rich.code)
            assert found.member.full_name == "Grace H."
            assert list(found.unavailable) == parts
            assert found.HasField("points") == (away != "points")
            assert bool(found.coupons) == (away != "vouchers")
            assert bool(found.rewards) == bool(found.claims) == (away != "promos")
            assert found.HasField("promo_points") == (away != "promos")

        await eventually(told, seconds=20)


@pytest.mark.parametrize(
    ("limits", "tills", "limit"),
    [
        ({"look_ups_per_caller": 3}, 1, "look_ups_per_caller"),
        ({"look_ups_per_address": 3}, 4, "look_ups_per_address"),
    ],
)
async def test_look_ups_are_limited_per_caller_and_per_address(
    platform: Platform, limits: dict[str, int], tills: int, limit: str
) -> None:
    member = await platform.member()
    url = platform.postgres.url("identity")
    tokens = [await platform.token("till", new_id()) for _ in range(tills)]
    async with own_identity(platform, database_url=url, **limits) as own:
        stub = Stub(own.channel)
        await forget_counts(platform, url)  # other tests look up from here too
        for n in range(3):
            await look(stub, tokens[n % tills], phone=member.phone)
        reason, _, metadata = await refusal(look(stub, tokens[3 % tills], phone=member.phone))
        assert (reason, metadata["limit"]) == ("TOO_MANY_REQUESTS", limit)


async def forget_counts(platform: Platform, database_url: str) -> None:
    """Forgets what an identity of the test's own has counted."""
    async with redis.from_url(redis_url(platform, database_url)) as client:
        kept = [key async for key in client.scan_iter("throttle:*")]
        if kept:
            await client.delete(*kept)


async def test_who_tries_numbers_is_stopped_early(grpc_stub: Stub, platform: Platform) -> None:
    """A till asks for few members that are none; who looks for members tries many."""
    member, trying = await platform.member(), await platform.token("till", new_id())
    results = await outcomes(look(grpc_stub, trying, phone=new_phone()) for _ in range(70))
    assert 60 <= results.count("PHONE_UNKNOWN") < 70
    assert await reason(look(grpc_stub, trying, phone=member.phone)) == "TOO_MANY_REQUESTS"


async def test_when_all_are_away_the_member_is_told_all_the_same(
    platform: Platform, till: str, rich: Member
) -> None:
    url = platform.postgres.url("identity")
    away: dict[str, Any] = dict.fromkeys(("points_target", "vouchers_target", "promos_target"), NOWHERE)
    async with own_identity(platform, database_url=url, **away) as own:
        found = await look(Stub(own.channel), till, member_code=rich.code)
    assert (found.member.full_name, len(found.unavailable)) == ("Grace H.", 5)


class Patient:
    """A channel to services of which none replies before all five calls are made."""

    def __init__(self) -> None:
        self._asked = asyncio.Barrier(5)

    def unary_unary(self, *_: object, **__: object) -> Callable[..., Awaitable[str]]:
        """Returns a call."""

        async def answer(*_: object, **__: object) -> str:
            await self._asked.wait()
            return "an answer"

        return answer


async def test_the_others_are_not_asked_one_after_the_other() -> None:
    """When all are away, the answer takes as long as one of them may."""
    patient: Any = Patient()

    async def token() -> str:
        return ""

    reader = BelongingsReader(dict.fromkeys(("points", "vouchers", "promos"), patient), token)
    async with asyncio.timeout(20):  # for ever, else
        assert (await reader.read("")).unavailable == []
