"""What a member and staff read of the member alike: movements, and what expires when."""

from __future__ import annotations

from uuid import UUID

from scrip.points.v1 import admin_pb2, points_pb2

from services.common.legacy_db import Database
from services.common.paging import Page
from services.points import encoding
from services.points.ledger import entry_queries as entries
from services.points.ledger import lot_queries as lots


async def page_of_entries(
    db: Database,
    request: points_pb2.ListMyEntriesRequest | admin_pb2.ListMemberEntriesRequest,
    member_id: UUID,
) -> tuple[list[points_pb2.Entry], str]:
    """A page of the member's ledger, and the token of the next one."""
    kind, period = encoding.kind_filter(request.kind), encoding.period(request)
    page = Page(request.page_size, request.page_token, request.DESCRIPTOR.name, member_id, kind, period)
    rows, next_token = await db.read(
        entries.list_entries, page, member_id=member_id, kind=kind, period=period
    )
    return [encoding.entry(row) for row in rows], next_token


async def page_of_expiries(
    db: Database,
    request: points_pb2.ListMyExpiriesRequest | admin_pb2.ListMemberExpiriesRequest,
    member_id: UUID,
) -> tuple[list[points_pb2.Expiry], str]:
    """A page of what the member loses and when, and the token of the next one."""
    page = Page(request.page_size, request.page_token, request.DESCRIPTOR.name, member_id)
    rows, next_token = await db.read(lots.list_expiries, page, member_id=member_id)
    return [encoding.expiry(row) for row in rows], next_token
