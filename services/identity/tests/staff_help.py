"""What several tests do with staff."""

from __future__ import annotations

import grpc
from scrip.common.v1 import permission_pb2
from scrip.identity.v1 import (
    audit_pb2,
    audit_pb2_grpc,
    auth_pb2,
    auth_pb2_grpc,
    staff_pb2,
    staff_pb2_grpc,
)
from scrip.promos.v1 import brand_pb2, brand_pb2_grpc
from scrip.vouchers.v1 import catalogue_pb2, catalogue_pb2_grpc

from services.common.ids import new_id
from tests.inprocess import Platform, bearer

PASSWORD = "a horse that staples batteries"
ADMIN = permission_pb2.ROLE_ADMIN
MANAGER = permission_pb2.ROLE_MANAGER
CASHIER = permission_pb2.ROLE_CASHIER
BRAND_MANAGER = permission_pb2.ROLE_BRAND_MANAGER


def new_user_name() -> str:
    """Returns a user name that nobody has yet."""
    return f"staff-{new_id()}"


async def new_brand(platform: Platform, name: str = "Golden Crust") -> str:
    """Returns the id of a new brand."""
    stub = brand_pb2_grpc.BrandServiceStub(platform.channels["promos"])
    request = brand_pb2.CreateBrandRequest(name=name, category="Bakeries")
    made = await stub.CreateBrand(request, metadata=bearer(await platform.admin()))
    return made.brand.brand.id


async def brand_for(platform: Platform, role: permission_pb2.Role.ValueType) -> dict[str, object]:
    """Returns the brand that staff of this role need, as a field; nothing for those who need none."""
    return {"brand_id": await new_brand(platform)} if role == BRAND_MANAGER else {}


def creation(**fields: object) -> staff_pb2.CreateStaffRequest:
    """Returns a request that makes a cashier, with other fields if given."""
    values: dict[str, object] = {
        "user_name": new_user_name(),
        "full_name": "Grace Hopper",
        "role": CASHIER,
        "password": PASSWORD,
    }
    return staff_pb2.CreateStaffRequest(**values | fields)  # type: ignore[arg-type]  # by name


async def create_staff(channel: grpc.aio.Channel, admin: str, **fields: object) -> staff_pb2.Staff:
    """Staff made by an admin, by its token."""
    stub = staff_pb2_grpc.StaffServiceStub(channel)
    return (await stub.CreateStaff(creation(**fields), metadata=bearer(admin))).staff


async def log_in(channel: grpc.aio.Channel, user_name: str, password: str = PASSWORD) -> auth_pb2.AccessToken:
    """Returns the tokens of a new login."""
    stub = auth_pb2_grpc.AuthServiceStub(channel)
    given = auth_pb2.PasswordCredentials(user_name=user_name, password=password)
    return (await stub.LogIn(auth_pb2.LogInRequest(password=given))).token


async def actions(platform: Platform, target_id: str) -> list[str]:
    """Returns what was done to a target, in order."""
    stub = audit_pb2_grpc.AuditServiceStub(platform.channels["identity"])
    reply = await stub.ListAuditEntries(
        audit_pb2.ListAuditEntriesRequest(target_id=target_id), metadata=bearer(await platform.admin())
    )
    return [entry.action for entry in reversed(reply.entries)]


async def browse(platform: Platform, token: str) -> None:
    """Calls another service with a manager's token."""
    stub = catalogue_pb2_grpc.CatalogueServiceStub(platform.channels["vouchers"])
    await stub.ListVouchers(catalogue_pb2.ListVouchersRequest(page_size=1), metadata=bearer(token))
