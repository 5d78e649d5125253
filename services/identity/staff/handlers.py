"""StaffService: who works for the retailer and its brands."""

from __future__ import annotations

from uuid import UUID

from scrip.common.v1 import permission_pb2
from scrip.identity.v1 import staff_pb2

from services.common.caller import caller
from services.common.db import Database
from services.common.encoding import Context, read_name, timestamp
from services.common.paging import Page
from services.identity.passwords import Passwords
from services.identity.sessions import Logins
from services.identity.staff.commands import (
    change_staff_role,
    create_staff,
    disable_staff,
    enable_staff,
    reset_staff_password,
)
from services.identity.staff.queries import StaffRow, get_staff, list_staff


class StaffHandlers:
    """Implements StaffService."""

    def __init__(self, db: Database, passwords: Passwords, logins: Logins) -> None:
        self._db = db
        self._passwords = passwords
        self._logins = logins

    async def CreateStaff(
        self, request: staff_pb2.CreateStaffRequest, context: Context
    ) -> staff_pb2.CreateStaffResponse:
        """Makes an account with a first password."""
        full_name = read_name(request.full_name, "full_name")
        made = await self._db.run(
            create_staff,
            actor=caller(),
            user_name=request.user_name.lower(),
            full_name=full_name,
            role=_role_name(request.role),
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
        role = _role_name(request.role) if request.role else ""
        page = Page(request.page_size, request.page_token, "staff", role)
        rows, next_token = await self._db.read(list_staff, page, role=role)
        return staff_pb2.ListStaffResponse(staff=[_staff(row) for row in rows], next_page_token=next_token)

    async def ChangeStaffRole(
        self, request: staff_pb2.ChangeStaffRoleRequest, context: Context
    ) -> staff_pb2.ChangeStaffRoleResponse:
        """Gives staff another role and ends their logins."""
        changed = await self._logins.run(
            change_staff_role,
            actor=caller(),
            staff_id=UUID(request.staff_id),
            role=_role_name(request.role),
        )
        return staff_pb2.ChangeStaffRoleResponse(staff=_staff(changed.staff))

    async def ResetStaffPassword(
        self, request: staff_pb2.ResetStaffPasswordRequest, context: Context
    ) -> staff_pb2.ResetStaffPasswordResponse:
        """Sets another password and ends their logins."""
        hashed = await self._passwords.hash_new(request.password)
        await self._logins.run(
            reset_staff_password, actor=caller(), staff_id=UUID(request.staff_id), password_hash=hashed
        )
        return staff_pb2.ResetStaffPasswordResponse()

    async def DisableStaff(
        self, request: staff_pb2.DisableStaffRequest, context: Context
    ) -> staff_pb2.DisableStaffResponse:
        """Suspends staff and ends their logins."""
        changed = await self._logins.run(disable_staff, actor=caller(), staff_id=UUID(request.staff_id))
        return staff_pb2.DisableStaffResponse(staff=_staff(changed.staff))

    async def EnableStaff(
        self, request: staff_pb2.EnableStaffRequest, context: Context
    ) -> staff_pb2.EnableStaffResponse:
        """Lets disabled staff log in again."""
        changed = await self._logins.run(enable_staff, actor=caller(), staff_id=UUID(request.staff_id))
        return staff_pb2.EnableStaffResponse(staff=_staff(changed.staff))


def _staff(row: StaffRow) -> staff_pb2.Staff:
    return staff_pb2.Staff(
        id=str(row.id),
        user_name=row.user_name,
        full_name=row.full_name,
        role=permission_pb2.Role.Value(f"ROLE_{row.role.upper()}"),
        enabled=row.enabled,
        created_at=timestamp(row.created_at),
    )


def _role_name(role: permission_pb2.Role.ValueType) -> str:
    """Returns the role as tokens name it, such as `admin`."""
    return permission_pb2.Role.Name(role).removeprefix("ROLE_").lower()
