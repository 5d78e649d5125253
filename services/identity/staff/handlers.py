"""StaffService: who works for the retailer and its brands."""

from __future__ import annotations

from uuid import UUID

from scrip.identity.v1 import staff_pb2

from services.common.caller import caller
from services.common.encoding import Context
from services.common.legacy_db import Database
from services.common.paging import Page
from services.identity import encoding
from services.identity.passwords import Passwords
from services.identity.sessions import Logins
from services.identity.staff import queries as staff
from services.identity.staff.commands.change_staff_role import change_staff_role
from services.identity.staff.commands.create_staff import create_staff
from services.identity.staff.commands.reset_staff_password import reset_staff_password
from services.identity.staff.commands.set_staff_enabled import disable_staff, enable_staff


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
        full_name = encoding.name(request.full_name, "full_name")
        made = await self._db.run(
            create_staff,
            actor=caller(),
            user_name=request.user_name.lower(),
            full_name=full_name,
            role=encoding.role_name(request.role),
            password_hash=await self._passwords.hash_new(request.password),
        )
        return staff_pb2.CreateStaffResponse(staff=encoding.staff(made))

    async def GetStaff(
        self, request: staff_pb2.GetStaffRequest, context: Context
    ) -> staff_pb2.GetStaffResponse:
        """One of the staff."""
        row = await self._db.read(staff.get_staff, UUID(request.staff_id))
        return staff_pb2.GetStaffResponse(staff=encoding.staff(row))

    async def ListStaff(
        self, request: staff_pb2.ListStaffRequest, context: Context
    ) -> staff_pb2.ListStaffResponse:
        """A page of staff."""
        role = encoding.role_name(request.role) if request.role else ""
        page = Page(request.page_size, request.page_token, "staff", role)
        rows, next_token = await self._db.read(staff.list_staff, page, role=role)
        return staff_pb2.ListStaffResponse(
            staff=[encoding.staff(row) for row in rows], next_page_token=next_token
        )

    async def ChangeStaffRole(
        self, request: staff_pb2.ChangeStaffRoleRequest, context: Context
    ) -> staff_pb2.ChangeStaffRoleResponse:
        """Another role, and no logins with the old one."""
        changed = await self._logins.run(
            change_staff_role,
            actor=caller(),
            staff_id=UUID(request.staff_id),
            role=encoding.role_name(request.role),
        )
        return staff_pb2.ChangeStaffRoleResponse(staff=encoding.staff(changed.staff))

    async def ResetStaffPassword(
        self, request: staff_pb2.ResetStaffPasswordRequest, context: Context
    ) -> staff_pb2.ResetStaffPasswordResponse:
        """Another password, and no logins with the old one."""
        hashed = await self._passwords.hash_new(request.password)
        await self._logins.run(
            reset_staff_password, actor=caller(), staff_id=UUID(request.staff_id), password_hash=hashed
        )
        return staff_pb2.ResetStaffPasswordResponse()

    async def DisableStaff(
        self, request: staff_pb2.DisableStaffRequest, context: Context
    ) -> staff_pb2.DisableStaffResponse:
        """No logins any more."""
        changed = await self._logins.run(disable_staff, actor=caller(), staff_id=UUID(request.staff_id))
        return staff_pb2.DisableStaffResponse(staff=encoding.staff(changed.staff))

    async def EnableStaff(
        self, request: staff_pb2.EnableStaffRequest, context: Context
    ) -> staff_pb2.EnableStaffResponse:
        """Logins again."""
        changed = await self._logins.run(enable_staff, actor=caller(), staff_id=UUID(request.staff_id))
        return staff_pb2.EnableStaffResponse(staff=encoding.staff(changed.staff))
