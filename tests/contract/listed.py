"""Three of everything that a list of the contract shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from google.api import httpbody_pb2
from google.protobuf import descriptor_pool, message_factory, timestamp_pb2
from scrip.common.v1 import money_pb2, permission_pb2
from scrip.identity.v1 import (
    client_pb2,
    client_pb2_grpc,
    look_up_pb2,
    look_up_pb2_grpc,
    staff_pb2,
    staff_pb2_grpc,
)
from scrip.points.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    earn_effect_pb2,
    earn_rule_pb2,
    earn_rule_pb2_grpc,
    purchase_pb2,
    purchase_pb2_grpc,
)
from scrip.promos.v1 import (
    brand_pb2,
    brand_pb2_grpc,
    campaign_pb2,
    campaign_pb2_grpc,
    code_file_pb2,
    code_file_pb2_grpc,
    code_pb2,
    code_pb2_grpc,
    code_set_pb2,
    code_set_pb2_grpc,
    promo_pb2,
    promo_pb2_grpc,
    store_pb2,
    store_pb2_grpc,
    webhook_pb2,
    webhook_pb2_grpc,
)
from scrip.vouchers.v1 import (
    catalogue_pb2,
    catalogue_pb2_grpc,
    order_pb2,
    order_pb2_grpc,
    payment_method_pb2,
    payment_method_pb2_grpc,
    wallet_pb2,
    wallet_pb2_grpc,
)

from services.common.db import Connection, execute
from services.common.ids import new_id, utc_now
from services.promos.tests.claims_help import Claims
from services.promos.tests.support import Promos
from tests.contract.descriptors import Rpc
from tests.inprocess import Member, Platform, bearer, eventually

ROWS = 3


@dataclass
class World:
    """Three of everything that is listed."""

    platform: Platform
    actor: UUID
    admin: str
    till: str
    members: list[Member] = field(default_factory=list)
    campaigns: list[str] = field(default_factory=list)
    promos: list[str] = field(default_factory=list)
    code_set: str = ""
    redeemed_code: str = ""
    brand_id: str = ""
    webhooks: list[webhook_pb2.Webhook] = field(default_factory=list)
    discounted_voucher: str = ""

    async def fill(self) -> None:
        """Makes it all."""
        for _ in range(ROWS):
            await self._campaign()
            await self._store()
            await self._client()
            await self._staff()
        await self._webhooks()
        for _ in range(ROWS):
            self.members.append(await self.platform.member())
        for _ in range(ROWS):
            await self._look_up()
        for _ in range(ROWS):
            await self._purchase()
        for _ in range(ROWS):
            await self._redemption(await self._order(await self._voucher()))
        self.discounted_voucher = await self._voucher()
        for _ in range(ROWS):
            await self._payment_method()
        await self._gifts()
        await self._code_set()
        await self._claims()
        for _ in range(ROWS):
            await self._code_import()
            await self._adjustment_import()
            await self._earn_rule()
            await self._promo()
            await self.platform.databases["identity"].run(_unsent_otp)
            await self.platform.databases["identity"].run(_notice, self.members[0].id)
        for database in self.platform.databases.values():
            await database.run(_set_aside)
        await self.platform.databases["points"].run(_expire_one_after_the_other, self.members[0].id)

    async def call(self, rpc: Rpc, token: str = "", size: int = 1) -> Any:
        """Returns a page of a list."""
        pool = descriptor_pool.Default()
        request: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName(rpc.request))()
        reply: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName(rpc.response))
        request.page_size, request.page_token = size, token
        for field_name, value in self._whose().get(rpc.name, {}).items():
            setattr(request, field_name, value)
        method: Callable[..., Any] = self.platform.channels[rpc.package.split(".")[1]].unary_unary(
            rpc.path,
            request_serializer=type(request).SerializeToString,
            response_deserializer=reply.FromString,
        )
        caller = self.members[0].token if "member" in rpc.roles else self.admin
        return await method(request, metadata=bearer(caller))

    def _whose(self) -> dict[str, dict[str, str]]:
        """Returns what a list needs to be told whose it is, by its RPC."""
        member = {"member_id": str(self.members[0].id)}
        code_set, brand = {"code_set_id": self.code_set}, {"brand_id": self.brand_id}
        webhook = {"brand_id": self.webhooks[0].brand_id}
        return {
            "ListWinners": {"campaign_id": self.campaigns[0]},
            "ListPromoUses": {"promo_id": self.promos[0]},
            **dict.fromkeys(("ListCodes", "ListCodeImports"), code_set),
            "ListCodeEvents": {"code_id": self.redeemed_code},
            **dict.fromkeys(("ListDiscounts", "ListClaims", "ListBrandRedemptions"), brand),
            "ListWebhooks": webhook,
            "ListDeliveries": webhook | {"webhook_id": self.webhooks[0].id},
            "ListAuditEntries": {"actor_id": str(self.actor)},
            "ListPaymentDiscounts": {"voucher_id": self.discounted_voucher},
            **dict.fromkeys(
                ("ListSandboxNotices", "ListMemberEntries", "ListMemberExpiries", "ListMemberPurchases"),
                member,
            ),
        }

    async def _campaign(self) -> None:
        stub = campaign_pb2_grpc.CampaignServiceStub(self.platform.channels["promos"])
        request = campaign_pb2.CreateCampaignRequest(
            name="First 100", places=100, benefit=code_pb2.Benefit(percent_off=30)
        )
        made = await stub.CreateCampaign(request, metadata=bearer(self.admin))
        self.campaigns.append(made.campaign.id)

    async def _promo(self) -> None:
        """Gives a promo; each time some of the first one is used."""
        channel, member = self.platform.channels["promos"], self.members[0]
        request = promo_pb2.CreatePromoRequest(
            member_id=str(member.id), type=promo_pb2.PROMO_TYPE_WELCOME, description="Welcome", amount=100
        )
        metadata = bearer(self.admin, idempotency_key=str(new_id()))
        made = await promo_pb2_grpc.PromoServiceStub(channel).CreatePromo(request, metadata=metadata)
        self.promos.append(made.promo.id)
        use = promo_pb2.UsePromoPointsRequest(promo_id=self.promos[0], amount=1)
        metadata = bearer(member.token, idempotency_key=str(new_id()))
        await promo_pb2_grpc.MyPromoServiceStub(channel).UsePromoPoints(use, metadata=metadata)

    async def _claims(self) -> None:
        """Discounts of a brand, each claimed by the same member and redeemed; of each, a code is left."""
        claims = await Claims.of(await Promos.of(self.platform, self.platform.channels["promos"]))
        self.brand_id = claims.brand_id
        await claims.agree(self.members[0])
        for _ in range(ROWS):
            claim = await claims.claim((await claims.open()).id, self.members[0].token)
            await claims.promos.redeem(claim.code, str(new_id()), self.till)

    async def _webhooks(self) -> None:
        """Makes webhooks of one brand, the first of which was told something."""
        channel, metadata = self.platform.channels["promos"], bearer(self.admin)
        brand = await brand_pb2_grpc.BrandServiceStub(channel).CreateBrand(
            brand_pb2.CreateBrandRequest(name=f"Brand {new_id()}", category="Bakeries"), metadata=metadata
        )
        request = webhook_pb2.CreateWebhookRequest(
            brand_id=brand.brand.brand.id, url="https://shop.example/", event_types=["claim.created"]
        )
        for _ in range(ROWS):
            made = await webhook_pb2_grpc.WebhookServiceStub(channel).CreateWebhook(
                request, metadata=metadata
            )
            self.webhooks.append(made.webhook)
        await self.platform.databases["promos"].run(_deliveries, UUID(self.webhooks[0].id))

    async def _store(self) -> None:
        """A store of a published brand."""
        stub = brand_pb2_grpc.BrandServiceStub(self.platform.channels["promos"])
        request = brand_pb2.CreateBrandRequest(name=f"Brand {new_id()}", category="Bakeries")
        brand_id = (await stub.CreateBrand(request, metadata=bearer(self.admin))).brand.brand.id
        await stub.PublishBrand(brand_pb2.PublishBrandRequest(brand_id=brand_id), metadata=bearer(self.admin))
        address = store_pb2.Address(city="Springfield", country="US")
        store = store_pb2.CreateStoreRequest(
            brand_id=brand_id, name="Store", address=address, time_zone="America/Chicago"
        )
        stores = store_pb2_grpc.StoreServiceStub(self.platform.channels["promos"])
        await stores.CreateStore(store, metadata=bearer(self.admin))

    async def _client(self) -> None:
        stub = client_pb2_grpc.ClientServiceStub(self.platform.channels["identity"])
        request = client_pb2.CreateClientRequest(display_name=f"Till {new_id()}")
        await stub.CreateClient(request, metadata=bearer(self.admin))

    async def _look_up(self) -> None:
        stub = look_up_pb2_grpc.LookUpServiceStub(self.platform.channels["identity"])
        request = look_up_pb2.LookUpMemberRequest(member_code=self.members[0].code)
        await stub.LookUpMember(request, metadata=bearer(self.till))

    async def _staff(self) -> None:
        stub = staff_pb2_grpc.StaffServiceStub(self.platform.channels["identity"])
        request = staff_pb2.CreateStaffRequest(
            user_name=f"list-{new_id()}",
            full_name="Grace Hopper",
            role=permission_pb2.ROLE_CASHIER,
            password="a first password for lists",
        )
        await stub.CreateStaff(request, metadata=bearer(self.admin))

    async def _purchase(self) -> None:
        stub = purchase_pb2_grpc.PurchaseServiceStub(self.platform.channels["points"])
        sold_at = timestamp_pb2.Timestamp()
        sold_at.FromDatetime(utc_now())
        item = purchase_pb2.PurchaseItem(sku="1", name="Bread", unit_price_minor=100_000, quantity=1)
        request = purchase_pb2.RecordPurchaseRequest(
            member_code=self.members[0].code,
            receipt_number=str(new_id()),
            sold_at=sold_at,
            currency_code="USD",
            items=[item],
        )
        await stub.RecordPurchase(request, metadata=bearer(self.till))

    async def _voucher(self) -> str:
        stub = catalogue_pb2_grpc.CatalogueServiceStub(self.platform.channels["vouchers"])
        value = money_pb2.Money(currency_code="USD", amount_minor=500)
        request = catalogue_pb2.CreateVoucherRequest(
            title="Coupon", face_value=value, price_points=1, quantity=1
        )
        return (await stub.CreateVoucher(request, metadata=bearer(self.admin))).voucher.id

    async def _payment_method(self) -> None:
        """A way to pay, which takes something off a voucher."""
        stub = payment_method_pb2_grpc.PaymentMethodServiceStub(self.platform.channels["vouchers"])
        request = payment_method_pb2.CreatePaymentMethodRequest(name="Card", provider="SANDBOX")
        metadata = bearer(self.admin, idempotency_key=str(new_id()))
        method = (await stub.CreatePaymentMethod(request, metadata=metadata)).payment_method
        discount = payment_method_pb2.SetPaymentDiscountRequest(
            voucher_id=self.discounted_voucher, payment_method_id=method.id, percent_off=10
        )
        await stub.SetPaymentDiscount(discount, metadata=bearer(self.admin))

    async def _gifts(self) -> None:
        """What the first member is given, and gives."""
        await self.platform.databases["vouchers"].run(
            _gifts, self.members[0].id, self.platform.vault.hash_phone(self.members[0].phone)
        )

    async def _order(self, voucher_id: str) -> str:
        stub = order_pb2_grpc.OrderServiceStub(self.platform.channels["vouchers"])
        metadata = bearer(self.members[0].token, idempotency_key=str(new_id()))
        request = order_pb2.PlaceOrderRequest(voucher_id=voucher_id)

        async def completed() -> str:
            order = (await stub.PlaceOrder(request, metadata=metadata)).order
            assert order.wallet_voucher_id
            return order.wallet_voucher_id

        return await eventually(completed)

    async def _redemption(self, wallet_voucher_id: str) -> None:
        wallet = wallet_pb2_grpc.WalletServiceStub(self.platform.channels["vouchers"])
        mine = await wallet.GetMyVoucher(
            wallet_pb2.GetMyVoucherRequest(wallet_voucher_id=wallet_voucher_id),
            metadata=bearer(self.members[0].token),
        )
        stub = code_pb2_grpc.CodeServiceStub(self.platform.channels["promos"])
        request = code_pb2.RedeemCodeRequest(code=mine.voucher.code, sale_reference=str(new_id()))
        reply = await stub.RedeemCode(request, metadata=bearer(self.till))
        self.redeemed_code = reply.redemption.code_id

    async def _code_set(self) -> None:
        stub = code_set_pb2_grpc.CodeSetServiceStub(self.platform.channels["promos"])
        request = code_set_pb2.CreateCodeSetRequest(
            name="Leaflets", import_only=True, benefit=code_pb2.Benefit(percent_off=5)
        )
        metadata = bearer(self.admin, idempotency_key=str(new_id()))
        self.code_set = (await stub.CreateCodeSet(request, metadata=metadata)).code_set.id

    async def _code_import(self) -> None:
        stub = code_file_pb2_grpc.CodeFileServiceStub(self.platform.channels["promos"])
        file = httpbody_pb2.HttpBody(content_type="text/csv", data=f"code\n{new_id()}\n".encode())
        request = code_file_pb2.CreateCodeImportRequest(code_set_id=self.code_set, file=file)
        metadata = bearer(self.admin, idempotency_key=str(new_id()))
        await stub.CreateCodeImport(request, metadata=metadata)

    async def _adjustment_import(self) -> None:
        stub = admin_pb2_grpc.PointsAdminServiceStub(self.platform.channels["points"])
        content = f"member_id,delta,reason\n{self.members[1].id},1,Goodwill\n"
        file = httpbody_pb2.HttpBody(content_type="text/csv", data=content.encode())
        request = admin_pb2.CreateAdjustmentImportRequest(file=file)
        metadata = bearer(self.admin, idempotency_key=str(new_id()))
        await stub.CreateAdjustmentImport(request, metadata=metadata)

    async def _earn_rule(self) -> None:
        stub = earn_rule_pb2_grpc.EarnRuleServiceStub(self.platform.channels["points"])
        request = earn_rule_pb2.CreateEarnRuleRequest(
            name="None for gift cards",
            exclusion=earn_effect_pb2.Exclusion(categories=["gift cards"]),
            ends_at=timestamp_pb2.Timestamp(seconds=1),  # long over: no purchase of other tests meets it
        )
        await stub.CreateEarnRule(request, metadata=bearer(self.admin))

    async def clear(self) -> None:
        """Leaves nothing behind that other tests would meet: no campaign, nothing set aside."""
        for database in self.platform.databases.values():
            await database.run(execute, "DELETE FROM set_aside WHERE kind = 'JOB' AND id LIKE '-%%'")
        stub = campaign_pb2_grpc.CampaignServiceStub(self.platform.channels["promos"])
        for campaign_id in self.campaigns:
            request = campaign_pb2.EndCampaignRequest(campaign_id=campaign_id)
            await stub.EndCampaign(request, metadata=bearer(self.admin))


async def _unsent_otp(connection: Connection) -> None:
    await execute(
        connection,
        """
        WITH made AS (
          INSERT INTO otps (id, phone, purpose, code_hash, expires_at)
          VALUES (%(id)s, '+14155550100', 'OTP_PURPOSE_LOG_IN', '', now()) RETURNING id
        )
        INSERT INTO otp_deliveries (otp_id, failed_at) SELECT id, now() FROM made
        """,
        id=new_id(),
    )


async def _deliveries(connection: Connection, webhook_id: UUID) -> None:
    await execute(
        connection,
        """
        INSERT INTO webhook_deliveries (
          endpoint_id, event_id, kind, subject_id, occurred_at, state, completed_at
        )
        SELECT %(id)s, gen_random_uuid(), 'ping', %(id)s, now(), 'SUCCEEDED', now()
        FROM generate_series(1, %(rows)s)
        """,
        id=webhook_id,
        rows=ROWS,
    )


async def _gifts(connection: Connection, member_id: UUID, phone_hash: bytes) -> None:
    """Each of the member's vouchers on offer to the member, as no call would have it."""
    await execute(
        connection,
        """
        WITH offered AS (
          UPDATE wallet_vouchers SET gift_id = uuidv7() WHERE member_id = %(member_id)s
          RETURNING *
        ), counted AS (
          INSERT INTO voucher_recipients (voucher_id, recipient_hash, given)
          SELECT voucher_id, %(phone_hash)s, count(*) FROM offered GROUP BY voucher_id
        )
        INSERT INTO gifts (
          id, wallet_voucher_id, voucher_id, order_id, code_id, giver_id, notice_id, recipient_hash,
          recipient_name, message, state, returns_at
        )
        SELECT
          gift_id, id, voucher_id, order_id, code_id, %(member_id)s, gift_id, %(phone_hash)s, 'Ada', '',
          'OFFERED', now() + interval '1 day'
        FROM offered
        """,
        member_id=member_id,
        phone_hash=phone_hash,
    )


async def _set_aside(connection: Connection) -> None:
    """Makes jobs that fail, in a queue that has none of these numbers."""
    await execute(
        connection,
        """
        INSERT INTO set_aside (kind, id, error, set_aside_at)
        SELECT 'JOB', (-n)::text, 'note: ValueError', now() - n * interval '1 s'
        FROM generate_series(1, %(rows)s) AS n
        """,
        rows=ROWS,
    )


async def _notice(connection: Connection, member_id: UUID) -> None:
    await execute(
        connection,
        """
        INSERT INTO notices (id, member_id, kind, language, recipient, state)
        VALUES (%(id)s, %(member_id)s, 'PHONE_CHANGED', 'en', '…0100', 'SENT')
        """,
        id=new_id(),
        member_id=member_id,
    )


async def _expire_one_after_the_other(connection: Connection, member_id: UUID) -> None:
    await execute(
        connection,
        """
        UPDATE lots SET expires_at = now() + id * interval '1 day'
        WHERE member_id = %(member_id)s AND remaining > 0
        """,
        member_id=member_id,
    )
