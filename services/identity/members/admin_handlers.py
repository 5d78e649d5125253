"""MemberAdminService: looking after members."""

from __future__ import annotations

from uuid import UUID

from scrip.identity.v1 import member_pb2

from services.common.caller import caller
from services.common.db import Database
from services.common.encoding import Context, read_text
from services.common.paging import Page
from services.identity.accounts import as_e164
from services.identity.keys import Vault
from services.identity.members.commands import restore_member, suspend_member
from services.identity.members.encoding import encode_member, read_status_filter
from services.identity.members.queries import get_member, list_members
from services.identity.sessions import Logins


class MemberAdminHandlers:
    """Implements MemberAdminService."""

    def __init__(self, db: Database, vault: Vault, logins: Logins, default_region: str) -> None:
        self._db = db
        self._vault = vault
        self._logins = logins
        self._default_region = default_region

    async def ListMembers(
        self, request: member_pb2.ListMembersRequest, context: Context
    ) -> member_pb2.ListMembersResponse:
        """Returns a page of members."""
        query, status = request.query.strip(), read_status_filter(request.status)
        page = Page(request.page_size, request.page_token, "members", query, status)
        rows, next_token = await self._db.read(
            list_members,
            page,
            begins_with=query,
            phone=as_e164(query, self._default_region),
            status=status,
        )
        return member_pb2.ListMembersResponse(
            members=[encode_member(row) for row in rows], next_page_token=next_token
        )

    async def GetMember(
        self, request: member_pb2.GetMemberRequest, context: Context
    ) -> member_pb2.GetMemberResponse:
        """Returns one member."""
        row = await self._db.read(get_member, UUID(request.member_id))
        return member_pb2.GetMemberResponse(member=encode_member(row))

    async def SuspendMember(
        self, request: member_pb2.SuspendMemberRequest, context: Context
    ) -> member_pb2.SuspendMemberResponse:
        """Keeps a member out."""
        changed = await self._logins.run(
            suspend_member,
            self._vault,
            actor=caller(),
            member_id=UUID(request.member_id),
            reason=read_text(request.reason, "reason"),
        )
        return member_pb2.SuspendMemberResponse(member=encode_member(changed.member))

    async def RestoreMember(
        self, request: member_pb2.RestoreMemberRequest, context: Context
    ) -> member_pb2.RestoreMemberResponse:
        """Lets a member in again."""
        changed = await self._logins.run(
            restore_member,
            self._vault,
            actor=caller(),
            member_id=UUID(request.member_id),
            reason=read_text(request.reason, "reason"),
        )
        return member_pb2.RestoreMemberResponse(member=encode_member(changed.member))
