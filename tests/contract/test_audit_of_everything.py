"""Every call with which staff change something leaves one audit entry, in whatever service, and it alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.api import httpbody_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from scrip.common.v1 import money_pb2
from scrip.identity.internal.v1 import identity_pb2, identity_pb2_grpc
from scrip.identity.v1 import (
    audit_pb2,
    audit_pb2_grpc,
    auth_pb2,
    auth_pb2_grpc,
    client_pb2,
    client_pb2_grpc,
    member_pb2,
    member_pb2_grpc,
    staff_pb2,
    staff_pb2_grpc,
)
from scrip.identity.v1 import operations_pb2 as identity_operations
from scrip.identity.v1 import operations_pb2_grpc as identity_operations_grpc
from scrip.points.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    earn_effect_pb2,
    earn_rule_pb2,
    earn_rule_pb2_grpc,
    purchase_pb2,
    purchase_pb2_grpc,
)
from scrip.points.v1 import operations_pb2 as points_operations
from scrip.points.v1 import operations_pb2_grpc as points_operations_grpc
from scrip.promos.internal.v1 import promos_pb2, promos_pb2_grpc
from scrip.promos.v1 import (
    campaign_pb2,
    campaign_pb2_grpc,
    code_pb2,
    code_pb2_grpc,
    discount_pb2,
    discount_pb2_grpc,
)
from scrip.promos.v1 import operations_pb2 as promos_operations
from scrip.promos.v1 import operations_pb2_grpc as promos_operations_grpc
from scrip.vouchers.v1 import catalogue_pb2, catalogue_pb2_grpc
from scrip.vouchers.v1 import operations_pb2 as vouchers_operations
from scrip.vouchers.v1 import operations_pb2_grpc as vouchers_operations_grpc

from services.common.ids import new_id
from services.identity.tests.staff_help import ADMIN, MANAGER, PASSWORD, actions, creation, log_in
from services.promos.tests.brands_help import Brands
from services.promos.tests.support import Promos
from tests.contract.audit_of_payments import change_payments
from tests.contract.audit_of_promos import change_brands, change_codes, change_promos
from tests.contract.audit_of_vouchers import change_images
from tests.contract.descriptors import rpcs
from tests.inprocess import Member, Platform, bearer, eventually, refused_status

READS = ("Get", "List", "Find", "DryRun", "Verify", "LookUp")
NO_CHANGE = {
    "AuthService.LogOut",
    "OrderService.ExportOrders",
    "CatalogueService.ExportVouchers",
    "CodeService.ExportRedemptions",
    "CodeService.ExportBrandRedemptions",
    "ClaimService.ExportClaims",
    "PointsAdminService.ExportPurchases",
    "CampaignService.ExportWinners",
    "CampaignService.WatchPlaces",
    "CampaignService.WatchPlacesEvents",
    "CodeFileService.ExportRefusedLines",
    "CodeSetService.WatchCodeSet",
    "CodeSetService.WatchCodeSetEvents",
    "BasketService.QuoteBasket",
    "WebhookService.PingWebhook",
}
"""Who logs out changes nothing that others see, nor do exports, quotes and pings. Exports of members, of
audit entries and of codes are listed all the same, as ADR 0028 decides.
"""
ELSEWHERE = {"WebhookService.RedeliverDelivery", "WebhookService.RedeliverFailedDeliveries"}
"""They need deliveries that failed."""
BENEFIT = code_pb2.Benefit(percent_off=30)


@dataclass
class Admin:
    """An admin who does it all, and what was called."""

    platform: Platform
    id: str
    token: str
    called: list[str]

    async def call(self, stub: Any, service: str, request: Any) -> Any:
        """Calls the RPC whose request this is."""
        rpc = type(request).__name__.removesuffix("Request")
        self.called.append(f"{service}.{rpc}")
        metadata = bearer(self.token, idempotency_key=str(new_id()))
        return await getattr(stub, rpc)(request, metadata=metadata)


async def change_staff_and_tills(admin: Admin) -> list[tuple[str, str]]:
    """Returns what was done, and to whom."""
    channel = admin.platform.channels["identity"]
    request: Any
    stub: Any = staff_pb2_grpc.StaffServiceStub(channel)
    one = (await admin.call(stub, "StaffService", creation())).staff.id
    for request in (
        staff_pb2.ChangeStaffRoleRequest(staff_id=one, role=MANAGER),
        staff_pb2.ResetStaffPasswordRequest(staff_id=one, password=f"{PASSWORD}!"),
        staff_pb2.DisableStaffRequest(staff_id=one),
        staff_pb2.EnableStaffRequest(staff_id=one),
        staff_pb2.UpdateStaffRequest(staff_id=one, full_name="Grace Murray Hopper"),
        staff_pb2.DeleteStaffRequest(staff_id=one),
    ):
        await admin.call(stub, "StaffService", request)
    stub = client_pb2_grpc.ClientServiceStub(channel)
    made = await admin.call(stub, "ClientService", client_pb2.CreateClientRequest(display_name=f"Till {one}"))
    till = made.client.id
    for request in (
        client_pb2.RotateClientSecretRequest(client_id=till, overlap_seconds=60),
        client_pb2.DisableClientRequest(client_id=till),
        client_pb2.EnableClientRequest(client_id=till),
        client_pb2.UpdateClientRequest(client_id=till, display_name=f"Till of {one}"),
        client_pb2.DeleteClientRequest(client_id=till),
    ):
        await admin.call(stub, "ClientService", request)
    of_staff = ("created", "role_changed", "password_reset", "disabled", "enabled", "updated", "deleted")
    of_tills = ("created", "secret_rotated", "disabled", "enabled", "updated", "deleted")
    return [(f"staff.{what}", one) for what in of_staff] + [(f"client.{what}", till) for what in of_tills]


async def change_member(admin: Admin, member: Member) -> list[tuple[str, str]]:
    """Returns what was done, and to whom."""
    stub = member_pb2_grpc.MemberAdminServiceStub(admin.platform.channels["identity"])
    who = str(member.id)
    await admin.call(
        stub, "MemberAdminService", member_pb2.SuspendMemberRequest(member_id=who, reason="fraud")
    )
    await admin.call(
        stub, "MemberAdminService", member_pb2.RestoreMemberRequest(member_id=who, reason="a mistake")
    )
    return [("member.suspended", who), ("member.restored", who)]


async def export(admin: Admin) -> list[tuple[str, str]]:
    """Returns what was done."""
    channel, metadata = admin.platform.channels["identity"], bearer(admin.token)
    members = member_pb2_grpc.MemberAdminServiceStub(channel)
    nobody = member_pb2.ExportMembersRequest(query="nobody has a name that begins like this")
    assert [piece async for piece in members.ExportMembers(nobody, metadata=metadata)]
    audit = audit_pb2_grpc.AuditServiceStub(channel)
    nothing = audit_pb2.ExportAuditEntriesRequest(action="nothing")
    assert [piece async for piece in audit.ExportAuditEntries(nothing, metadata=metadata)]
    admin.called += ["MemberAdminService.ExportMembers", "AuditService.ExportAuditEntries"]
    return [("member.exported", ""), ("audit.exported", "")]


async def change_offers(admin: Admin) -> list[tuple[str, str]]:
    """Returns what was done, and to what."""
    catalogue = catalogue_pb2_grpc.CatalogueServiceStub(admin.platform.channels["vouchers"])
    face_value = money_pb2.Money(currency_code="USD", amount_minor=500)
    offer = catalogue_pb2.CreateVoucherRequest(
        title="$5 off", face_value=face_value, price_points=500, quantity=1
    )
    voucher = (await admin.call(catalogue, "CatalogueService", offer)).voucher.id
    of_voucher = [("voucher.created", voucher), *await change_images(admin, voucher)]
    request: Any
    for request in (
        catalogue_pb2.UpdateVoucherRequest(voucher_id=voucher, title="$5 off everything"),
        catalogue_pb2.DeactivateVoucherRequest(voucher_id=voucher),
        catalogue_pb2.PublishVoucherRequest(voucher_id=voucher),
        catalogue_pb2.ArchiveVoucherRequest(voucher_id=voucher),
    ):
        await admin.call(catalogue, "CatalogueService", request)
    done = ("updated", "deactivated", "published", "archived")
    of_voucher += [(f"voucher.{what}", voucher) for what in done]
    campaigns = campaign_pb2_grpc.CampaignServiceStub(admin.platform.channels["promos"])
    far_off = Timestamp()
    far_off.FromDatetime(datetime(2100, 1, 1, tzinfo=UTC))
    first = campaign_pb2.CreateCampaignRequest(name="First", places=3, benefit=BENEFIT, starts_at=far_off)
    campaign = (await admin.call(campaigns, "CampaignService", first)).campaign.id
    for request in (
        campaign_pb2.UpdateCampaignRequest(campaign_id=campaign, places=4),
        campaign_pb2.PauseCampaignRequest(campaign_id=campaign),
        campaign_pb2.ResumeCampaignRequest(campaign_id=campaign),
        campaign_pb2.EndCampaignRequest(campaign_id=campaign),
    ):
        await admin.call(campaigns, "CampaignService", request)
    ends = ("created", "updated", "paused", "resumed", "ended")
    of_campaign = [(f"campaign.{what}", campaign) for what in ends]
    return [*of_voucher, *of_campaign]


async def change_discounts(admin: Admin) -> list[tuple[str, str]]:
    """Returns what was done, and to what."""
    channel = admin.platform.channels["promos"]
    brand = (await Brands(await Promos.of(admin.platform, channel)).published()).brand.id
    stub = discount_pb2_grpc.DiscountServiceStub(channel)
    wanted = discount_pb2.CreateDiscountRequest(brand_id=brand, name="Bread", quantity=1, benefit=BENEFIT)
    which = (await admin.call(stub, "DiscountService", wanted)).discount.id
    for request in (
        discount_pb2.UpdateDiscountRequest(brand_id=brand, discount_id=which, name="Cake"),
        discount_pb2.ActivateDiscountRequest(brand_id=brand, discount_id=which),
        discount_pb2.PauseDiscountRequest(brand_id=brand, discount_id=which),
        discount_pb2.EndDiscountRequest(brand_id=brand, discount_id=which),
    ):
        await admin.call(stub, "DiscountService", request)
    return [(f"discount.{what}", which) for what in ("created", "updated", "activated", "paused", "ended")]


async def change_earn_rules(admin: Admin) -> list[tuple[str, str]]:
    """Returns what was done, and to what."""
    stub = earn_rule_pb2_grpc.EarnRuleServiceStub(admin.platform.channels["points"])
    exclusion = earn_effect_pb2.Exclusion(categories=["nothing that anybody sells"])
    wanted = earn_rule_pb2.CreateEarnRuleRequest(name="None", exclusion=exclusion)
    rule = (await admin.call(stub, "EarnRuleService", wanted)).rule.id
    await admin.call(
        stub, "EarnRuleService", earn_rule_pb2.UpdateEarnRuleRequest(earn_rule_id=rule, name="Nothing")
    )
    await admin.call(stub, "EarnRuleService", earn_rule_pb2.DeleteEarnRuleRequest(earn_rule_id=rule))
    return [(f"earn_rule.{what}", rule) for what in ("created", "updated", "deleted")]


async def change_points(admin: Admin, member: Member) -> list[tuple[str, str]]:
    """Returns what was done, and to whom or what."""
    channel, who = admin.platform.channels["points"], str(member.id)
    stub: Any = admin_pb2_grpc.PointsAdminServiceStub(channel)

    async def adjusted() -> None:
        request = admin_pb2.AdjustPointsRequest(member_id=who, delta=5, reason="amends")
        try:
            await stub.AdjustPoints(request, metadata=bearer(admin.token, idempotency_key=who))
        except grpc.aio.AioRpcError as error:  # points does not know the member yet
            raise AssertionError from error

    await eventually(adjusted)
    key = bearer(admin.token, idempotency_key=str(new_id()))
    lines = f"member_id,delta,reason\n{who},1,amends\n".encode()
    file = httpbody_pb2.HttpBody(content_type="text/csv", data=lines)
    imported = await stub.CreateAdjustmentImport(
        admin_pb2.CreateAdjustmentImportRequest(file=file), metadata=key
    )
    admin.called += ["PointsAdminService.AdjustPoints", "PointsAdminService.CreateAdjustmentImport"]
    stub = purchase_pb2_grpc.PurchaseServiceStub(channel)
    now = Timestamp()
    now.GetCurrentTime()
    bread = purchase_pb2.PurchaseItem(sku="1", name="Bread", unit_price_minor=1_000, quantity=1)
    receipt = purchase_pb2.RecordPurchaseRequest(
        member_code=member.code, receipt_number="R-1", sold_at=now, currency_code="USD", items=[bread]
    )
    till_id = new_id()
    till = bearer(await admin.platform.token("till", till_id))

    async def sold(number: str) -> str:
        receipt.receipt_number = number
        return str((await stub.RecordPurchase(receipt, metadata=till)).purchase.id)

    sales = [await sold(f"R-{number}") for number in range(3)]
    by_id = purchase_pb2.RefundPurchaseRequest(purchase_id=sales[0], refund_number="F-1")
    await admin.call(stub, "PurchaseService", by_id)
    by_receipt = purchase_pb2.RefundReceiptRequest(
        receipt_number="R-1", client_id=str(till_id), refund_number="F-2"
    )
    await admin.call(stub, "PurchaseService", by_receipt)
    void = purchase_pb2.VoidPurchaseRequest(receipt_number="R-2", client_id=str(till_id))
    await admin.call(stub, "PurchaseService", void)
    return [
        ("points.adjusted", who),
        ("points.import_created", imported.adjustment_import.id),
        ("purchase.refunded", sales[0]),
        ("purchase.refunded", sales[1]),
        ("purchase.voided", sales[2]),
    ]


async def retry_set_aside(admin: Admin) -> list[tuple[str, str]]:
    """Returns what was done: of all that is set aside it names no target."""
    channels = admin.platform.channels
    identity = identity_operations_grpc.IdentityOperationsServiceStub(channels["identity"])
    points = points_operations_grpc.PointsOperationsServiceStub(channels["points"])
    promos = promos_operations_grpc.PromosOperationsServiceStub(channels["promos"])
    vouchers = vouchers_operations_grpc.VouchersOperationsServiceStub(channels["vouchers"])
    await admin.call(identity, "IdentityOperationsService", identity_operations.RetrySetAsideRequest())
    await admin.call(points, "PointsOperationsService", points_operations.RetrySetAsideRequest())
    await admin.call(promos, "PromosOperationsService", promos_operations.RetrySetAsideRequest())
    await admin.call(vouchers, "VouchersOperationsService", vouchers_operations.RetrySetAsideRequest())
    return [("set_aside.retried", "")] * 4


async def use_code(admin: Admin, member: Member) -> list[tuple[str, str]]:
    """Returns what was done, and to what."""
    channel = admin.platform.channels["promos"]
    internal = promos_pb2_grpc.PromosInternalServiceStub(channel)
    vouchers, code_set = bearer(await admin.platform.service_token("vouchers")), str(new_id())
    await internal.EnsureCodes(
        promos_pb2.EnsureCodesRequest(code_set_id=code_set, quantity=1, benefit=BENEFIT), metadata=vouchers
    )
    assign = promos_pb2.AssignCodesRequest(
        order_id=str(new_id()), code_set_id=code_set, owner_member_id=str(member.id), quantity=1
    )

    async def assigned() -> str:
        ready = promos_pb2.EnsureCodesRequest(code_set_id=code_set, quantity=1, benefit=BENEFIT)
        assert (await internal.EnsureCodes(ready, metadata=vouchers)).made == 1
        code_ids = (await internal.AssignCodes(assign, metadata=vouchers)).code_ids
        return str(code_ids[0])

    code_id = await eventually(assigned, seconds=10)
    got = await internal.BatchGetCodes(promos_pb2.BatchGetCodesRequest(code_ids=[code_id]), metadata=vouchers)
    stub = code_pb2_grpc.CodeServiceStub(channel)
    redeem = code_pb2.RedeemCodeRequest(code=got.codes[0].code, sale_reference="R-1")
    redemption = (await admin.call(stub, "CodeService", redeem)).redemption.id
    await admin.call(stub, "CodeService", code_pb2.CancelRedemptionRequest(redemption_id=redemption))
    return [("code.redeemed", code_id), ("redemption.cancelled", redemption)]


async def new_admin(platform: Platform) -> Admin:
    """Returns an admin who can change its own password."""
    channel = platform.channels["identity"]
    stub = staff_pb2_grpc.StaffServiceStub(channel)
    first = await platform.token("admin", new_id())
    made = (await stub.CreateStaff(creation(role=ADMIN), metadata=bearer(first))).staff
    login = await log_in(channel, made.user_name)
    return Admin(platform, made.id, login.access_token, [])


async def test_everything_that_staff_change_is_listed_once(platform: Platform) -> None:
    admin, member = await new_admin(platform), await platform.member()
    expected = [
        *await change_staff_and_tills(admin),
        *await change_member(admin, member),
        *await export(admin),
        *await change_offers(admin),
        *await change_payments(admin),
        *await change_discounts(admin),
        *await change_codes(admin),
        *await change_brands(admin),
        *await change_promos(admin, await platform.member()),
        *await change_earn_rules(admin),
        *await change_points(admin, await platform.member()),
        *await use_code(admin, member),
        *await retry_set_aside(admin),
    ]
    password = auth_pb2.ChangePasswordRequest(current_password=PASSWORD, new_password=f"{PASSWORD}?")
    await admin.call(auth_pb2_grpc.AuthServiceStub(platform.channels["identity"]), "AuthService", password)
    expected.append(("staff.password_changed", admin.id))
    reader = bearer(await platform.admin())
    stub = audit_pb2_grpc.AuditServiceStub(platform.channels["identity"])

    async def listed() -> None:
        reply = await stub.ListAuditEntries(
            audit_pb2.ListAuditEntriesRequest(actor_id=admin.id, page_size=200), metadata=reader
        )
        found = sorted((entry.action, entry.target_id) for entry in reply.entries)
        assert found == sorted(expected)
        assert {entry.actor_role for entry in reply.entries} == {ADMIN}

    await eventually(listed, seconds=10)
    assert set(admin.called) == changes(), "this test calls all that there is"


def changes() -> set[str]:
    """Returns the RPCs with which staff change something."""
    staff = {"admin", "manager", "cashier", "brand_manager"}
    named = {
        rpc.short_name
        for rpc in rpcs()
        if rpc.roles & staff and not rpc.internal and not rpc.name.startswith(READS)
    }
    return named - NO_CHANGE - ELSEWHERE


def test_staff_can_change_something() -> None:
    assert {"StaffService.CreateStaff", "CodeService.RedeemCode"} <= changes()


@pytest.mark.parametrize("spoken_for", ["promos", "identity", "points", "somebody"])
async def test_a_service_writes_nothing_down_in_anothers_name(platform: Platform, spoken_for: str) -> None:
    channel, target, now = platform.channels["identity"], str(new_id()), Timestamp()
    now.GetCurrentTime()
    forged = identity_pb2.RecordAuditRequest(
        entry_id=str(new_id()),
        service=spoken_for,
        actor_id=str(new_id()),
        actor_role="admin",
        action="staff.created",
        target_id=target,
        occurred_at=now,
    )
    call = identity_pb2_grpc.IdentityInternalServiceStub(channel).RecordAudit(
        forged, metadata=bearer(await platform.service_token("vouchers"))
    )
    status, code = await refused_status(call)
    refusal = (grpc.StatusCode.INVALID_ARGUMENT, "service: must be the service that calls")
    assert (code, status.message) == refusal
    assert await actions(platform, target) == []
