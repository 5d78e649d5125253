"""MemberAdminService: looking after members."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from uuid import UUID

from google.api import httpbody_pb2
from scrip.identity.v1 import member_pb2

from services.common.caller import CASHIER, caller
from services.common.csv_lists import csv_replies
from services.common.db import Database
from services.common.encoding import Context, moment, read_text
from services.common.errors import invalid_field
from services.common.list_pages import read_page
from services.identity.accounts import as_e164
from services.identity.keys import Vault
from services.identity.members.commands import record_export, restore_member, suspend_member
from services.identity.members.encoding import encode_for_staff, read_state_filter
from services.identity.members.queries import MemberRow, begins_with, get_member, known_whole, member_list
from services.identity.sessions import Logins

_COLUMNS = (
    "id",
    "full_name",
    "phone",
    "email",
    "email_confirmed",
    "user_name",
    "birthday",
    "registered_at",
    "state",
    "shares_contact",
    "consent_wording",
    "consent_at",
)
"""Of the CSV."""


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
        who, listing = caller(), member_list(request.order_by)
        wanted = self._wanted(request, whole=who.role == CASHIER)
        page = await read_page(self._db, listing, request, order_by=request.order_by, **wanted)
        return member_pb2.ListMembersResponse(
            members=[encode_for_staff(row, who) for row in page.rows],
            next_page_token=page.next_page_token,
            total=page.total,
        )

    async def ExportMembers(
        self, request: member_pb2.ExportMembersRequest, context: Context
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        """Yields members as CSV, once it is kept who asked for them."""
        wanted = self._wanted(request, whole=False)
        await self._db.run(record_export, actor=caller(), wanted=wanted)
        batches = member_list(request.order_by).batches(self._db, order_by=request.order_by, **wanted)
        async for piece in csv_replies(context, "members", _COLUMNS, _cells(batches)):
            yield piece

    async def GetMember(
        self, request: member_pb2.GetMemberRequest, context: Context
    ) -> member_pb2.GetMemberResponse:
        """Returns one member."""
        row = await self._db.read(get_member, UUID(request.member_id))
        return member_pb2.GetMemberResponse(member=encode_for_staff(row, caller()))

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
            etag=request.etag,
        )
        return member_pb2.SuspendMemberResponse(member=encode_for_staff(changed.member, caller()))

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
            etag=request.etag,
        )
        return member_pb2.RestoreMemberResponse(member=encode_for_staff(changed.member, caller()))

    def _wanted(
        self, request: member_pb2.ListMembersRequest | member_pb2.ExportMembersRequest, *, whole: bool
    ) -> dict[str, object]:
        """Returns the filters that are asked for; with `whole` the query must name a member whole.

        Raises VALIDATION_FAILED for a time that ends before it begins, and when there is no such query.
        """
        query = request.query.strip()
        phone = as_e164(query, self._default_region)
        since, until = moment(request, "registered_from"), moment(request, "registered_until")
        if since and until and since >= until:
            raise invalid_field("registered_until", "must be later than registered_from")
        if whole and not query:
            raise invalid_field("query", "must be a whole phone number, e-mail address or member code")
        wanted = {
            "status": read_state_filter(request.state),
            "registered_from": since,
            "registered_until": until,
            **(known_whole(query, phone) if whole else begins_with(query, phone)),
        }
        return {name: value for name, value in wanted.items() if value is not None}


async def _cells(batches: AsyncIterator[Sequence[MemberRow]]) -> AsyncIterator[Iterable[Sequence[object]]]:
    async for rows in batches:
        yield [
            (
                row.id,
                row.full_name,
                row.phone,
                row.email,
                row.email_confirmed,
                row.user_name,
                row.birthday,
                row.registered_at.isoformat(),
                row.status,
                row.shares_contact,
                row.consent_wording,
                row.consent_at and row.consent_at.isoformat(),
            )
            for row in rows
        ]
