"""The catalogue, and what members see of it."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2
from scrip.common.v1 import money_pb2
from scrip.identity.v1 import audit_pb2, audit_pb2_grpc, auth_pb2, auth_pb2_grpc
from scrip.vouchers.v1 import catalogue_pb2, catalogue_pb2_grpc, shop_pb2, shop_pb2_grpc

from services.common.ids import new_id
from services.vouchers.tests.support import Create, Earn, Order, without_codes
from tests.inprocess import Platform, bearer, eventually, reason, refusal, refused_status


@pytest.fixture(scope="module")
def grpc_stub_cls(grpc_channel: grpc.aio.Channel) -> type[catalogue_pb2_grpc.CatalogueServiceStub]:
    return catalogue_pb2_grpc.CatalogueServiceStub


@pytest.fixture
def shop(platform: Platform) -> shop_pb2_grpc.ShopServiceStub:
    return shop_pb2_grpc.ShopServiceStub(platform.channels["vouchers"])


def request(**fields: object) -> catalogue_pb2.CreateVoucherRequest:
    values: dict[str, object] = {
        "title": "$5 off",
        "face_value": money_pb2.Money(currency_code="USD", amount_minor=500),
        "price_points": 500,
        "quantity": 10,
    }
    return catalogue_pb2.CreateVoucherRequest(**values | fields)  # type: ignore[arg-type]  # by name


@pytest.mark.covers(
    "V1 CatalogueService.CreateVoucher",
    "V1 CatalogueService.GetVoucher",
    "V1 CatalogueService.ListVouchers",
)
async def test_a_created_voucher_is_read_listed_and_offered(
    platform: Platform,
    create: Create,
    grpc_stub: catalogue_pb2_grpc.CatalogueServiceStub,
    shop: shop_pb2_grpc.ShopServiceStub,
) -> None:
    made, admin = await create(quantity=7), bearer(await platform.admin())
    read = await grpc_stub.GetVoucher(catalogue_pb2.GetVoucherRequest(voucher_id=made.id), metadata=admin)
    assert without_codes(read.voucher) == without_codes(made)
    assert made.quantity_left == 7
    listed = await grpc_stub.ListVouchers(catalogue_pb2.ListVouchersRequest(page_size=1), metadata=admin)
    assert without_codes(listed.vouchers[0]) == without_codes(made)
    member = bearer((await platform.member()).token)
    offer = await shop.GetOffer(shop_pb2.GetOfferRequest(voucher_id=made.id), metadata=member)
    assert offer.offer.voucher_id == made.id

    async def offered() -> None:
        offers = await shop.ListOffers(shop_pb2.ListOffersRequest(page_size=1), metadata=member)
        assert offers.offers[0] == offer.offer

    await eventually(offered)  # offers may be a second old


@pytest.mark.covers("V1 ShopService.GetOffer", "V1 ShopService.ListOffers")
async def test_what_is_not_on_sale_yet_is_not_offered(
    platform: Platform, create: Create, shop: shop_pb2_grpc.ShopServiceStub
) -> None:
    later = Timestamp()
    later.FromJsonString("2100-01-01T00:00:00Z")
    made = await create(sale_starts_at=later)
    member = bearer((await platform.member()).token)
    offers = await shop.ListOffers(shop_pb2.ListOffersRequest(page_size=200), metadata=member)
    assert made.id not in [offer.voucher_id for offer in offers.offers]
    wanted = shop.GetOffer(shop_pb2.GetOfferRequest(voucher_id=made.id), metadata=member)
    assert await reason(wanted) == "VOUCHER_NOT_FOUND"


@pytest.mark.covers("V1 ShopService.GetOffer", "V1 ShopService.ListOffers")
@pytest.mark.parametrize("headers", [[], bearer("not a token"), [("authorization", "Basic YTpi")]], ids=str)
async def test_offers_are_read_without_a_login(
    create: Create, shop: shop_pb2_grpc.ShopServiceStub, headers: list[tuple[str, str]]
) -> None:
    made = await create()

    async def offered() -> None:
        listed = await shop.ListOffers(shop_pb2.ListOffersRequest(page_size=1), metadata=headers)
        assert [offer.voucher_id for offer in listed.offers] == [made.id]

    await eventually(offered)
    read = await shop.GetOffer(shop_pb2.GetOfferRequest(voucher_id=made.id), metadata=headers)
    assert read.offer.quantity_left == made.quantity
    unknown = shop.GetOffer(shop_pb2.GetOfferRequest(voucher_id=str(new_id())), metadata=headers)
    assert await reason(unknown) == "VOUCHER_NOT_FOUND"


@pytest.mark.covers("V1 CatalogueService.CreateVoucher")
async def test_a_repeated_creation_makes_one_voucher_and_other_content_is_refused(
    platform: Platform, grpc_stub: catalogue_pb2_grpc.CatalogueServiceStub
) -> None:
    admin = bearer(await platform.admin(), idempotency_key=str(new_id()))
    replies = await asyncio.gather(*(grpc_stub.CreateVoucher(request(), metadata=admin) for _ in range(20)))
    assert len({reply.SerializeToString(deterministic=True) for reply in replies}) == 1
    other = grpc_stub.CreateVoucher(request(quantity=11), metadata=admin)
    assert await reason(other) == "IDEMPOTENCY_KEY_REUSED"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"title": " "}, "title"),
        ({"title": "x" * 121}, "title"),
        ({"price_points": 0}, "price_points"),
        ({"price_points": -5}, "price_points"),
        ({"quantity": 0}, "quantity"),
        ({"quantity": 10_000_001}, "quantity"),
        ({"face_value": money_pb2.Money(currency_code="USD", amount_minor=0)}, "face_value"),
        ({"face_value": money_pb2.Money(currency_code="USD", amount_minor=-1)}, "face_value.amount_minor"),
        ({"face_value": money_pb2.Money(currency_code="usd", amount_minor=1)}, "face_value.currency_code"),
        ({"sale_ends_at": Timestamp(seconds=1)}, "sale_ends_at"),
    ],
)
async def test_bad_fields_are_named(
    platform: Platform,
    grpc_stub: catalogue_pb2_grpc.CatalogueServiceStub,
    fields: dict[str, object],
    field: str,
) -> None:
    call = grpc_stub.CreateVoucher(request(**fields), metadata=bearer(await platform.admin()))
    status, code = await refused_status(call)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert field in status.message


@pytest.mark.parametrize(
    ("minor", "field"),
    [(0, "face_value"), (-1, "face_value.amount_minor"), (10**12, "face_value.amount_minor")],
)
async def test_an_amount_that_can_not_be_is_told_once(
    platform: Platform, grpc_stub: catalogue_pb2_grpc.CatalogueServiceStub, minor: int, field: str
) -> None:
    amount = money_pb2.Money(currency_code="USD", amount_minor=minor)
    call = grpc_stub.CreateVoucher(request(face_value=amount), metadata=bearer(await platform.admin()))
    status, _ = await refused_status(call)
    told = error_details_pb2.BadRequest()
    assert any(detail.Unpack(told) for detail in status.details)
    assert [violation.field for violation in told.field_violations] == [field]


@pytest.mark.covers("V1 CatalogueService.ListVouchers")
async def test_vouchers_are_found_by_title_and_sale_in_order_with_a_total(
    platform: Platform, grpc_stub: catalogue_pb2_grpc.CatalogueServiceStub
) -> None:
    admin, word = bearer(await platform.admin()), str(new_id())
    later = Timestamp()
    later.FromJsonString("2100-01-01T00:00:00Z")
    titles = [f"{word} {end}" for end in ("c", "10%", "b", "A")]
    for title in titles[:3]:
        await grpc_stub.CreateVoucher(request(title=title), metadata=admin)
    await grpc_stub.CreateVoucher(request(title=titles[3], sale_starts_at=later), metadata=admin)

    async def listed(**fields: object) -> catalogue_pb2.ListVouchersResponse:
        wanted = catalogue_pb2.ListVouchersRequest(**{"query": word.upper(), **fields})  # type: ignore[arg-type]
        return await grpc_stub.ListVouchers(wanted, metadata=admin)

    async def found(**fields: object) -> list[str]:
        return [voucher.title for voucher in (await listed(**fields)).vouchers]

    assert await found() == titles[::-1]
    assert await found(order_by="created_at") == titles
    assert await found(order_by="title") == sorted(titles)
    assert await found(order_by="title desc") == sorted(titles, reverse=True)
    assert await found(on_sale=True) == titles[2::-1]
    assert await found(on_sale=False) == [titles[3]]
    assert await found(query=f"{word} 10%") == [titles[1]]
    assert await found(query=f"{word} 11") == []
    page = await listed(page_size=1, with_total=True)
    assert (len(page.vouchers), page.total.count, page.total.more) == (1, 4, False)
    assert not (await listed()).HasField("total")
    assert await reason(listed(order_by="quantity")) == "VALIDATION_FAILED"
    assert await found(query="\N{SNOWMAN} --") == []  # no word of it finds anything


async def test_a_character_that_can_not_be_stored_is_refused(
    platform: Platform, grpc_stub: catalogue_pb2_grpc.CatalogueServiceStub
) -> None:
    call = grpc_stub.CreateVoucher(request(title="a\x00b"), metadata=bearer(await platform.admin()))
    assert await reason(call) == "VALIDATION_FAILED"


async def test_members_and_tills_may_not_create_vouchers(
    platform: Platform, grpc_stub: catalogue_pb2_grpc.CatalogueServiceStub
) -> None:
    for token in ((await platform.member()).token, await platform.till(), await platform.token("cashier")):
        call = grpc_stub.CreateVoucher(request(), metadata=bearer(token))
        assert await reason(call) == "ROLE_NOT_ALLOWED"


@pytest.mark.covers("V1 CatalogueService.CreateVoucher")
async def test_creating_a_voucher_reaches_the_audit_list(platform: Platform, create: Create) -> None:
    made = await create()
    audit = audit_pb2_grpc.AuditServiceStub(platform.channels["identity"])
    admin = bearer(await platform.admin())

    async def listed() -> None:
        page = await audit.ListAuditEntries(
            audit_pb2.ListAuditEntriesRequest(target_id=made.id), metadata=admin
        )
        assert [(entry.service, entry.action) for entry in page.entries] == [("vouchers", "voucher.created")]

    await eventually(listed)


@pytest.mark.covers("V4 ShopService.WatchQuantity")
async def test_a_watcher_sees_the_quantity_now_and_at_each_change(
    platform: Platform, create: Create, earn: Earn, order: Order, shop: shop_pb2_grpc.ShopServiceStub
) -> None:
    voucher, member = await create(quantity=3), await platform.member()
    await earn(member, 1_000)
    stream = shop.WatchQuantity(
        shop_pb2.WatchQuantityRequest(voucher_id=voucher.id), metadata=bearer(member.token)
    )
    updates = aiter(stream)
    assert (await anext(updates)).quantity_left == 3
    await order(member, voucher.id)
    assert (await anext(updates)).quantity_left == 2
    await order(member, voucher.id)
    assert (await anext(updates)).quantity_left == 1
    stream.cancel()


@pytest.mark.covers("V4 ShopService.WatchQuantity")
async def test_a_watcher_whose_login_ended_sees_no_change_any_more(
    platform: Platform, create: Create, earn: Earn, order: Order, shop: shop_pb2_grpc.ShopServiceStub
) -> None:
    voucher, member, buyer = await create(quantity=3), await platform.member(), await platform.member()
    await earn(buyer, 500)
    stream = shop.WatchQuantity(
        shop_pb2.WatchQuantityRequest(voucher_id=voucher.id), metadata=bearer(member.token)
    )
    updates = aiter(stream)
    assert (await anext(updates)).quantity_left == 3
    auth = auth_pb2_grpc.AuthServiceStub(platform.channels["identity"])
    await auth.LogOut(auth_pb2.LogOutRequest(), metadata=bearer(member.token))
    await asyncio.sleep(1.0)  # within which every service knows
    await order(buyer, voucher.id)

    async def update() -> object:
        return await anext(updates)

    assert await reason(update()) == "SESSION_ENDED"


async def test_watching_an_unknown_voucher_is_refused(
    platform: Platform, shop: shop_pb2_grpc.ShopServiceStub
) -> None:
    token = (await platform.member()).token
    stream = shop.WatchQuantity(
        shop_pb2.WatchQuantityRequest(voucher_id=str(new_id())), metadata=bearer(token)
    )

    async def first() -> object:
        return await anext(aiter(stream))

    assert await reason(first()) == "VOUCHER_NOT_FOUND"


async def test_a_page_token_of_another_list_is_refused(
    platform: Platform, create: Create, grpc_stub: catalogue_pb2_grpc.CatalogueServiceStub
) -> None:
    await create()
    await create()
    admin = bearer(await platform.admin())
    page = await grpc_stub.ListVouchers(catalogue_pb2.ListVouchersRequest(page_size=1), metadata=admin)
    shop = shop_pb2_grpc.ShopServiceStub(platform.channels["vouchers"])
    foreign = shop_pb2.ListOffersRequest(page_token=page.next_page_token)
    member = bearer((await platform.member()).token)
    assert await reason(shop.ListOffers(foreign, metadata=member)) == "PAGE_TOKEN_NOT_VALID"
    nonsense = catalogue_pb2.ListVouchersRequest(page_token="nonsense")  # not a secret
    assert await reason(grpc_stub.ListVouchers(nonsense, metadata=admin)) == "PAGE_TOKEN_NOT_VALID"


@pytest.mark.covers("V1 CatalogueService.CreateVoucher")
async def test_a_voucher_is_in_the_programmes_currency(
    platform: Platform, grpc_stub: catalogue_pb2_grpc.CatalogueServiceStub
) -> None:
    euros = money_pb2.Money(currency_code="EUR", amount_minor=500)
    call = grpc_stub.CreateVoucher(request(face_value=euros), metadata=bearer(await platform.admin()))
    expected = {"currency_code": "EUR", "expected": "USD"}
    assert await refusal(call) == (
        "CURRENCY_NOT_SUPPORTED",
        grpc.StatusCode.INVALID_ARGUMENT,
        expected,
    )
