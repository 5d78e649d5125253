"""What staff do with codes, promo points and brands, each once, and what the audit list has of it."""

from __future__ import annotations

import io
from typing import Any, Protocol

from google.api import httpbody_pb2
from PIL import Image
from scrip.promos.v1 import (
    basket_pb2,
    basket_pb2_grpc,
    brand_pb2,
    brand_pb2_grpc,
    code_file_pb2,
    code_file_pb2_grpc,
    code_pb2,
    code_set_pb2,
    code_set_pb2_grpc,
    promo_pb2,
    promo_pb2_grpc,
    store_pb2,
    store_pb2_grpc,
    webhook_pb2,
    webhook_pb2_grpc,
)

from services.common.db import fetch_value
from tests.inprocess import Member, Platform, bearer, eventually

BENEFIT = code_pb2.Benefit(percent_off=30)
Done = list[tuple[str, str]]
"""What was done, and to what."""


class Admin(Protocol):
    """An admin who notes what is called."""

    platform: Platform
    token: str
    called: list[str]

    async def call(self, stub: Any, service: str, request: Any) -> Any:
        """Calls the RPC whose request this is."""


async def change_codes(admin: Admin) -> Done:
    """A set of codes, an import, a sale that uses one of them, and one that is withdrawn."""
    channel = admin.platform.channels["promos"]
    sets = code_set_pb2_grpc.CodeSetServiceStub(channel)
    files = code_file_pb2_grpc.CodeFileServiceStub(channel)
    wanted = code_set_pb2.CreateCodeSetRequest(name="Leaflets", import_only=True, benefit=BENEFIT)
    which = (await admin.call(sets, "CodeSetService", wanted)).code_set.id
    update = code_set_pb2.UpdateCodeSetRequest(code_set_id=which, name="Posters")
    await admin.call(sets, "CodeSetService", update)
    texts = [f"{prefix}{which.replace('-', '')[-12:]}" for prefix in ("BASKET", "AWAY")]
    lines = "\n".join(["code", *texts]).encode()
    file = httpbody_pb2.HttpBody(content_type="text/csv", data=lines)
    request = code_file_pb2.CreateCodeImportRequest(code_set_id=which, file=file)
    await admin.call(files, "CodeFileService", request)
    exported = files.ExportCodes(
        code_file_pb2.ExportCodesRequest(code_set_id=which), metadata=bearer(admin.token)
    )
    assert [piece async for piece in exported]
    admin.called.append("CodeFileService.ExportCodes")
    listed = await files.ListCodes(
        code_file_pb2.ListCodesRequest(code_set_id=which), metadata=bearer(admin.token)
    )
    ids = {code.code: code.id for code in listed.codes}
    used, withdrawn = sorted(ids, key=lambda text: text.startswith("AWAY"))
    basket = basket_pb2.RedeemBasketRequest(
        lines=[basket_pb2.BasketLine(sku="1", unit_price_minor=1_000, quantity=1)],
        currency_code="USD",
        codes=[used],
        sale_reference=which,
    )
    await admin.call(basket_pb2_grpc.BasketServiceStub(channel), "BasketService", basket)
    void = code_file_pb2.VoidCodeRequest(code_id=ids[withdrawn], note="misprint")
    await admin.call(files, "CodeFileService", void)
    return [
        ("code_set.created", which),
        ("code_set.updated", which),
        ("codes.imported", which),
        ("codes.exported", which),
        ("code.redeemed", ids[used]),
        ("code.voided", ids[withdrawn]),
    ]


async def change_promos(admin: Admin, member: Member) -> Done:
    """A gift of promo points, of which a sale uses some and gives them back."""
    stub = promo_pb2_grpc.PromoServiceStub(admin.platform.channels["promos"])

    async def known() -> None:
        query = "SELECT true FROM members WHERE member_id = %(id)s"
        assert await admin.platform.databases["promos"].read(fetch_value, query, id=member.id)

    await eventually(known)
    wanted = promo_pb2.CreatePromoRequest(
        member_id=str(member.id), type=promo_pb2.PROMO_TYPE_WELCOME, description="Welcome", amount=100
    )
    which = (await admin.call(stub, "PromoService", wanted)).promo.id
    await admin.call(stub, "PromoService", promo_pb2.UpdatePromoRequest(promo_id=which, amount=90))
    sale = promo_pb2.UsePromosRequest(member_code=member.code, amount=5, sale_reference=which)
    use = (await admin.call(stub, "PromoService", sale)).promo_use_id
    await admin.call(stub, "PromoService", promo_pb2.CancelPromoUseRequest(promo_use_id=use))
    await admin.call(stub, "PromoService", promo_pb2.DeletePromoRequest(promo_id=which))
    of_promo = [(f"promo.{what}", which) for what in ("created", "updated", "deleted")]
    return [*of_promo, ("promo_points.used", use), ("promo_points.given_back", use)]


async def change_brands(admin: Admin) -> Done:
    """A brand with its logo, a store, a webhook, from the first to the last."""
    channel = admin.platform.channels["promos"]
    brands, stores = brand_pb2_grpc.BrandServiceStub(channel), store_pb2_grpc.StoreServiceStub(channel)
    wanted = brand_pb2.CreateBrandRequest(name="Bread and more", category="Bakeries")
    brand = (await admin.call(brands, "BrandService", wanted)).brand.brand.id
    logo = httpbody_pb2.HttpBody(content_type="image/png", data=_picture())
    request: Any
    for request in (
        brand_pb2.UpdateBrandRequest(brand_id=brand, description="Since 1904"),
        brand_pb2.UploadBrandLogoRequest(brand_id=brand, image=logo),
        brand_pb2.PublishBrandRequest(brand_id=brand),
    ):
        await admin.call(brands, "BrandService", request)
    place = store_pb2.Address(city="Springfield", country="US")
    new = store_pb2.CreateStoreRequest(brand_id=brand, name="Old Town", address=place, time_zone="UTC")
    store = (await admin.call(stores, "StoreService", new)).store.store.id
    for request in (
        store_pb2.UpdateStoreRequest(store_id=store, name="New Town"),
        store_pb2.UploadStoreLogoRequest(store_id=store, image=logo),
        store_pb2.DeleteStoreRequest(store_id=store),
    ):
        await admin.call(stores, "StoreService", request)
    of_webhook = await _change_webhook(admin, brand)
    for request in (
        brand_pb2.UnpublishBrandRequest(brand_id=brand),
        brand_pb2.ArchiveBrandRequest(brand_id=brand),
    ):
        await admin.call(brands, "BrandService", request)
    of_brand = ("created", "updated", "updated", "published", "unpublished", "archived")
    of_store = ("created", "updated", "updated", "deleted")
    return [
        *((f"brand.{what}", brand) for what in of_brand),
        *((f"store.{what}", store) for what in of_store),
        *of_webhook,
    ]


async def _change_webhook(admin: Admin, brand: str) -> Done:
    stub = webhook_pb2_grpc.WebhookServiceStub(admin.platform.channels["promos"])
    wanted = webhook_pb2.CreateWebhookRequest(
        brand_id=brand, url="https://shop.example/hook", event_types=["claim.created"]
    )
    which = (await admin.call(stub, "WebhookService", wanted)).webhook.id
    for request in (
        webhook_pb2.UpdateWebhookRequest(brand_id=brand, webhook_id=which, enabled=False),
        webhook_pb2.RotateWebhookSecretRequest(brand_id=brand, webhook_id=which),
        webhook_pb2.DeleteWebhookRequest(brand_id=brand, webhook_id=which),
    ):
        await admin.call(stub, "WebhookService", request)
    return [(f"webhook.{what}", which) for what in ("created", "updated", "secret_rotated", "deleted")]


def _picture() -> bytes:
    drawn = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(drawn, "PNG")
    return drawn.getvalue()
