"""Finding vouchers and offers, by words and by what they are; what a member can get for points."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from scrip.common.v1 import money_pb2
from scrip.vouchers.v1 import catalogue_pb2, catalogue_pb2_grpc, shop_pb2, shop_pb2_grpc

from services.vouchers.catalogue.recent_replies import RecentReplies
from services.vouchers.tests.support import Create, Earn, Order
from tests.inprocess import Platform, bearer, reason

BOTH, MONEY = {"price_rule": catalogue_pb2.PRICE_RULE_TOGETHER}, {"price_points": 0}


def usd(minor: int) -> money_pb2.Money:
    return money_pb2.Money(currency_code="USD", amount_minor=minor)


def at(text: str) -> Timestamp:
    found = Timestamp()
    found.FromJsonString(text)
    return found


def word() -> str:
    """A word of letters alone, as it is in no other voucher."""
    return "".join(chr(ord("a") + int(figure, 16)) for figure in uuid4().hex)


@pytest.mark.covers("V1 CatalogueService.ListVouchers")
async def test_staff_find_vouchers_by_words_and_by_what_they_are(platform: Platform) -> None:
    stub = catalogue_pb2_grpc.CatalogueServiceStub(platform.channels["vouchers"])
    admin, own = bearer(await platform.admin()), word()
    names: dict[str, str] = {}

    async def make(name: str, title: str, **fields: Any) -> None:
        values = {"face_value": usd(500), "price_points": 500, "quantity": 5, **fields}
        request = catalogue_pb2.CreateVoucherRequest(title=title, **values)
        names[(await stub.CreateVoucher(request, metadata=admin)).voucher.id] = name

    async def found(**fields: Any) -> list[str]:
        request = catalogue_pb2.ListVouchersRequest(**{"query": own, **fields})
        reply = await stub.ListVouchers(request, metadata=admin)
        return [names[voucher.id] for voucher in reply.vouchers]

    await make("draft", "Café breakfast", description=own, draft=True, quantity=9)
    await make("later", f"{own} Breakfast for two", sale_starts_at=at("2100-01-01T00:00:00Z"), price_points=9)
    await make("money", f"Dinner {own}", price=usd(2_000), **MONEY, quantity=2)
    await make("both", f"{own.title()} dinner", price=usd(900), **BOTH, price_points=700)
    await make("gift", f"Lunch {own}", buy_type=catalogue_pb2.BUY_TYPE_GIFT, price=usd(1), quantity=1)
    assert await found(query=f"CAFE {own[:9].upper()}") == ["draft"]
    assert await found(query=f"breakf {own}") == ["later", "draft"]
    assert await found(query=f"braekfast {own}") == ["later", "draft"]
    assert await found(query=f"supper {own}") == []
    for state, expected in {
        catalogue_pb2.VOUCHER_STATE_DRAFT: ["draft"],
        catalogue_pb2.VOUCHER_STATE_SCHEDULED: ["later"],
        catalogue_pb2.VOUCHER_STATE_ON_SALE: ["gift", "both", "money"],
        catalogue_pb2.VOUCHER_STATE_ENDED: [],
        catalogue_pb2.VOUCHER_STATE_INACTIVE: [],
    }.items():
        assert await found(state=state) == expected, state
    for kind, expected in {
        catalogue_pb2.PRICE_KIND_POINTS: ["gift", "later", "draft"],
        catalogue_pb2.PRICE_KIND_MONEY: ["gift", "money"],
        catalogue_pb2.PRICE_KIND_TOGETHER: ["both"],
    }.items():
        assert await found(payable_with=kind) == expected, kind
    assert await found(buy_type=catalogue_pb2.BUY_TYPE_GIFT) == ["gift"]
    assert await found(on_sale=False, payable_with=catalogue_pb2.PRICE_KIND_POINTS) == ["later", "draft"]
    assert await found(order_by="price_points") == ["money", "later", "draft", "gift", "both"]
    assert await found(order_by="price desc") == ["money", "both", "gift", "later", "draft"]
    assert await found(order_by="quantity_left") == ["gift", "money", "later", "both", "draft"]
    assert (await found(order_by="sale_starts_at desc"))[0] == "later"


@pytest.mark.covers("V1 CatalogueService.ListVouchers", "V1 CatalogueService.ExportVouchers")
async def test_what_is_searched_for_comes_in_pages_and_as_a_file(platform: Platform, create: Create) -> None:
    stub = catalogue_pb2_grpc.CatalogueServiceStub(platform.channels["vouchers"])
    admin, own = bearer(await platform.admin()), word()
    made = [(await create(description=own, price=usd(price))).id for price in (2, 3, 1, 4)]
    pages = catalogue_pb2.ListVouchersRequest(query=own, page_size=2, order_by="price", with_total=True)
    first = await stub.ListVouchers(pages, metadata=admin)
    pages.page_token = first.next_page_token
    await create(description=f"{own[:-1]}z")  # one more word that may be meant
    second = await stub.ListVouchers(pages, metadata=admin)
    found = [made.index(voucher.id) for voucher in (*first.vouchers, *second.vouchers)]
    assert (found, second.total.count) == ([2, 0, 1, 3], 4)
    pages.query = "something else"
    assert await reason(stub.ListVouchers(pages, metadata=admin)) == "PAGE_TOKEN_NOT_VALID"
    request = catalogue_pb2.ExportVouchersRequest(query=own, payable_with=catalogue_pb2.PRICE_KIND_MONEY)
    file = b"".join([piece.data async for piece in stub.ExportVouchers(request, metadata=admin)]).decode()
    lines = file.splitlines()
    assert lines[0].startswith('\N{ZERO WIDTH NO-BREAK SPACE}"id","title"')
    assert [line.split('","')[0] for line in lines[1:]] == [*(f'"{one}' for one in made), '"#end']


@pytest.mark.covers("V1 ShopService.ListOffers")
async def test_members_find_offers_that_they_could_take(
    platform: Platform, create: Create, earn: Earn, order: Order
) -> None:
    shop = shop_pb2_grpc.ShopServiceStub(platform.channels["vouchers"])
    own, member = word(), await platform.member()
    fields: dict[str, dict[str, Any]] = {
        "cheap": {"price_points": 100, "sale_ends_at": at("2100-01-01T00:00:00Z")},
        "gone": {"price_points": 200, "quantity": 1},
        "dear": {"price_points": 9_000, "price": usd(800)},
        "money": {**MONEY, "price": usd(300)},
        "draft": {"draft": True},
        "later": {"sale_starts_at": at("2100-01-01T00:00:00Z")},
    }
    names = {(await create(description=own, **made)).id: name for name, made in fields.items()}
    await earn(member, 200)
    await order(member, next(voucher for voucher, name in names.items() if name == "gone"))

    async def found(**wanted: Any) -> list[str]:
        reply = await shop.ListOffers(shop_pb2.ListOffersRequest(query=own, **wanted))
        return [names[offer.voucher_id] for offer in reply.offers]

    assert await found() == ["money", "dear", "gone", "cheap"]
    assert await found(order_by="price_points") == ["money", "cheap", "gone", "dear"]
    assert await found(order_by="price desc") == ["dear", "money", "gone", "cheap"]
    assert (await found(order_by="sale_ends_at"))[0] == "cheap"
    assert await found(available_only=True) == ["money", "dear", "cheap"]
    assert await found(max_points=200, payable_with=catalogue_pb2.PRICE_KIND_POINTS) == ["gone", "cheap"]
    assert await found(payable_with=catalogue_pb2.PRICE_KIND_MONEY) == ["money", "dear"]
    reply = await shop.ListOffers(shop_pb2.ListOffersRequest(query=own, page_size=1, with_total=True))
    assert (len(reply.offers), reply.total.count) == (1, 4)
    assert await reason(shop.ListOffers(shop_pb2.ListOffersRequest(max_points=-1))) == "VALIDATION_FAILED"


@pytest.mark.covers("V1 ShopService.ListMyExchangeOffers", "P8 PointsInternalService.GetBalance")
async def test_a_member_sees_how_many_its_points_could_get(
    platform: Platform, create: Create, earn: Earn, order: Order
) -> None:
    shop = shop_pb2_grpc.ShopServiceStub(platform.channels["vouchers"])
    member = await platform.member()
    await earn(member, 1_300 + 402 + 403)
    made = {
        "many": await create(price_points=10, quantity=100),
        "few": await create(price_points=400, quantity=100),
        "left": await create(price_points=401, quantity=2),
        "limit": await create(price_points=402, quantity=9, max_per_member=2),
        "taken": await create(price_points=403, quantity=9, max_per_member=1),
        "dear": await create(price_points=1_301),
        "money": await create(**MONEY, price=usd(1)),
        "both": await create(**BOTH, price=usd(1), price_points=1),
    }
    names = {voucher.id: name for name, voucher in made.items()}
    for name in ("limit", "taken"):
        await order(member, made[name].id)

    async def pieces(**fields: Any) -> dict[str, int]:
        found: dict[str, int] = {}
        token = ""
        while True:
            request = shop_pb2.ListMyExchangeOffersRequest(page_size=200, page_token=token, **fields)
            reply = await shop.ListMyExchangeOffers(request, metadata=bearer(member.token))
            assert reply.balance == 1_300
            found |= {
                names[one.offer.voucher_id]: one.affordable_quantity
                for one in reply.offers
                if one.offer.voucher_id in names
            }
            token = reply.next_page_token
            if not token:
                return found

    everything = {"many": 20, "few": 3, "left": 2, "limit": 1, "taken": 0, "dear": 0}
    assert await pieces() == everything
    assert list(await pieces()) == list(everything)
    assert list(await pieces(order_by="price_points desc")) == list(everything)[::-1]
    assert await pieces(affordable_only=True, order_by="face_value desc") == {
        name: count for name, count in everything.items() if count
    }


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still until its value is changed."""
    now = [100.0]
    monkeypatch.setattr("services.vouchers.catalogue.recent_replies.monotonic", lambda: now[0])
    return now


async def test_a_reply_is_read_once_for_all_who_ask_within_a_second(clock: list[float]) -> None:
    recent, reads = RecentReplies(), 0

    async def read() -> shop_pb2.GetOfferResponse:
        nonlocal reads
        reads += 1
        await asyncio.sleep(0)
        return shop_pb2.GetOfferResponse(offer=shop_pb2.Offer(quantity_left=reads))

    async def left(voucher_id: str) -> int:
        reply = await recent.of(shop_pb2.GetOfferRequest(voucher_id=voucher_id), read)
        return reply.offer.quantity_left

    assert await asyncio.gather(*(left("a") for _ in range(50))) == [1] * 50
    clock[0] += 1.0
    assert (await left("a"), await left("b")) == (1, 2)
    clock[0] += 0.01
    assert await left("a") == 3


async def test_replies_take_no_more_memory_than_they_may_and_refusals_are_not_kept(
    clock: list[float],
) -> None:
    recent, reads = RecentReplies(most_bytes=10_000), 0

    async def read() -> shop_pb2.GetOfferResponse:
        nonlocal reads
        reads += 1
        return shop_pb2.GetOfferResponse(offer=shop_pb2.Offer(description="x" * 1_000))

    async def refuse() -> shop_pb2.GetOfferResponse:
        raise LookupError

    for number in range(100):
        await recent.of(shop_pb2.GetOfferRequest(voucher_id=str(number)), read)
    for number in (99, 95, 0):
        await recent.of(shop_pb2.GetOfferRequest(voucher_id=str(number)), read)
    assert reads == 101  # of the newest are kept, the first is not
    unknown = shop_pb2.GetOfferRequest(voucher_id="unknown")
    with pytest.raises(LookupError):
        await recent.of(unknown, refuse)
    assert (await recent.of(unknown, read)).offer.description
