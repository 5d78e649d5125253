"""StaffService: who works for the retailer and its brands."""

from __future__ import annotations

from uuid import UUID

from scrip.common.v1 import permission_pb2
from scrip.identity.v1 import staff_pb2

from services.common.caller import caller
from services.common.db import Database
from services.common.encoding import Context, read_name, timestamp
from services.common.list_pages import read_page
from services.identity.passwords import Passwords
from services.identity.sessions import Logins
from services.identity.staff.brands import Brands
from services.identity.staff.commands import (
    StaffChanges,
    change_staff_role,
    create_staff,
    delete_staff,
    disable_staff,
    enable_staff,
    require_brand_of_role,
    reset_staff_password,
    update_staff,
)
from services.identity.staff.queries import STAFF, StaffRow, get_staff


class StaffHandlers:
    """Implements StaffService."""

    def __init__(self, db: Database, passwords: Passwords, logins: Logins, brands: Brands) -> None:
        self._db = db
        self._passwords = passwords
        self._logins = logins
        self._brands = brands

    async def CreateStaff(
        self, request: staff_pb2.CreateStaffRequest, context: Context
    ) -> staff_pb2.CreateStaffResponse:
        """Makes an account with a first password."""
        full_name, role = read_name(request.full_name, "full_name"), _role_name(request.role)
        brand_id = _brand_id(request.brand_id)
        await self._check_brand(role, brand_id)
        made = await self._db.run(
            create_staff,
            actor=caller(),
            user_name=request.user_name.lower(),
            full_name=full_name,
            role=role,
            brand_id=brand_id,
            password_hash=await self._passwords.hash_new(request.password),
        )
        return staff_pb2.CreateStaffResponse(staff=_staff(made))

    async def GetStaff(
        self, request: staff_pb2.GetStaffRequest, context: Context
    ) -> staff_pb2.GetStaffResponse:
        """Returns one of the staff."""
        row = await self._db.read(get_staff, UUID(request.staff_id))
        return staff_pb2.GetStaffResponse(staff=_staff(row))

    async def ListStaff(
        self, request: staff_pb2.ListStaffRequest, context: Context
    ) -> staff_pb2.ListStaffResponse:
        """Returns a page of staff."""
        wanted: dict[str, object] = {
            "role": _role_name(request.role) if request.role else None,
            "enabled": request.enabled if request.HasField("enabled") else None,
            "brand_id": _brand_id(request.brand_id),
            "begins_with": request.query.strip() or None,
        }
        page = await read_page(self._db, STAFF, request, order_by=request.order_by, **wanted)
        return staff_pb2.ListStaffResponse(
            staff=[_staff(row) for row in page.rows], next_page_token=page.next_page_token, total=page.total
        )

    async def UpdateStaff(
        self, request: staff_pb2.UpdateStaffRequest, context: Context
    ) -> staff_pb2.UpdateStaffResponse:
        """Changes what is given."""
        changes = StaffChanges(
            full_name=read_name(request.full_name, "full_name") if request.HasField("full_name") else None,
            user_name=request.user_name.lower() or None,
            brand_id=_brand_id(request.brand_id),
        )
        staff_id = UUID(request.staff_id)
        if changes.brand_id:
            before = await self._db.read(get_staff, staff_id)
            await self._check_brand(before.role, changes.brand_id, before=before)
        changed = await self._logins.run(
            update_staff, actor=caller(), staff_id=staff_id, etag=request.etag, changes=changes
        )
        return staff_pb2.UpdateStaffResponse(staff=_staff(changed.staff))

    async def DeleteStaff(
        self, request: staff_pb2.DeleteStaffRequest, context: Context
    ) -> staff_pb2.DeleteStaffResponse:
        """Erases who staff were and ends their logins."""
        await self._logins.run(
            delete_staff, actor=caller(), staff_id=UUID(request.staff_id), etag=request.etag
        )
        return staff_pb2.DeleteStaffResponse()

    async def ChangeStaffRole(
        self, request: staff_pb2.ChangeStaffRoleRequest, context: Context
    ) -> staff_pb2.ChangeStaffRoleResponse:
        """Gives staff another role and ends their logins."""
        staff_id, role = UUID(request.staff_id), _role_name(request.role)
        brand_id = _brand_id(request.brand_id)
        before = await self._db.read(get_staff, staff_id) if brand_id else None
        await self._check_brand(role, brand_id, before=before)
        changed = await self._logins.run(
            change_staff_role,
            actor=caller(),
            staff_id=staff_id,
            role=role,
            brand_id=brand_id,
            etag=request.etag,
        )
        return staff_pb2.ChangeStaffRoleResponse(staff=_staff(changed.staff))

    async def ResetStaffPassword(
        self, request: staff_pb2.ResetStaffPasswordRequest, context: Context
    ) -> staff_pb2.ResetStaffPasswordResponse:
        """Sets another password and ends their logins."""
        hashed = await self._passwords.hash_new(request.password)
        changed = await self._logins.run(
            reset_staff_password,
            actor=caller(),
            staff_id=UUID(request.staff_id),
            password_hash=hashed,
            etag=request.etag,
        )
        return staff_pb2.ResetStaffPasswordResponse(staff=_staff(changed.staff))

    async def DisableStaff(
        self, request: staff_pb2.DisableStaffRequest, context: Context
    ) -> staff_pb2.DisableStaffResponse:
        """Suspends staff and ends their logins."""
        changed = await self._logins.run(
            disable_staff, actor=caller(), staff_id=UUID(request.staff_id), etag=request.etag
        )
        return staff_pb2.DisableStaffResponse(staff=_staff(changed.staff))

    async def EnableStaff(
        self, request: staff_pb2.EnableStaffRequest, context: Context
    ) -> staff_pb2.EnableStaffResponse:
        """Lets disabled staff log in again."""
        changed = await self._logins.run(
            enable_staff, actor=caller(), staff_id=UUID(request.staff_id), etag=request.etag
        )
        return staff_pb2.EnableStaffResponse(staff=_staff(changed.staff))

    async def _check_brand(self, role: str, brand_id: UUID | None, *, before: StaffRow | None = None) -> None:
        """Asks promos about a brand that staff are to get. Not of one that they have: it may be archived.

        Raises VALIDATION_FAILED for a brand that does not go with the role, BRAND_NOT_FOUND, BRAND_ARCHIVED,
        and DEPENDENCY_UNAVAILABLE when promos does not reply.
        """
        require_brand_of_role(role, brand_id)
        if brand_id and not (before and before.brand_id == brand_id):
            await self._brands.require(brand_id)


def _staff(row: StaffRow) -> staff_pb2.Staff:
    return staff_pb2.Staff(
        id=str(row.id),
        user_name=row.user_name,
        full_name=row.full_name,
        role=permission_pb2.Role.Value(f"ROLE_{row.role.upper()}"),
        enabled=row.enabled,
        created_at=timestamp(row.created_at),
        etag=row.etag,
        brand_id=str(row.brand_id or ""),
    )


def _brand_id(text: str) -> UUID | None:
    return UUID(text) if text else None


def _role_name(role: permission_pb2.Role.ValueType) -> str:
    """Returns the role as tokens name it, such as `admin`."""
    return permission_pb2.Role.Name(role).removeprefix("ROLE_").lower()
