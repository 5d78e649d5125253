"""PromosInternalService and MemberEventsService: what the other services ask of promos."""

from __future__ import annotations

import asyncio
from uuid import UUID

from scrip.common.internal.v1 import member_events_pb2, member_events_pb2_grpc
from scrip.promos.internal.v1 import promos_pb2, promos_pb2_grpc

from services.common.encoding import Context, moment
from services.common.ids import utc_now
from services.common.legacy_db import Database
from services.promos import queries
from services.promos.commands.apply_member_event import MemberEvent, apply_member_event
from services.promos.commands.assign_codes import assign_codes
from services.promos.commands.ensure_codes import ensure_codes
from services.promos.commands.release_codes import release_codes
from services.promos.handlers import encoding

_EVENTS_AT_ONCE = 4


class InternalHandlers(promos_pb2_grpc.PromosInternalServiceServicer):
    """Implements PromosInternalService."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def EnsureCodes(
        self, request: promos_pb2.EnsureCodesRequest, context: Context
    ) -> promos_pb2.EnsureCodesResponse:
        """Has codes made."""
        made = await self._db.run(
            ensure_codes,
            code_set_id=UUID(request.code_set_id),
            quantity=request.quantity,
            benefit=encoding.read_benefit(request.benefit),
            expires_at=moment(request, "expires_at"),
        )
        return promos_pb2.EnsureCodesResponse(made=made)

    async def AssignCodes(
        self, request: promos_pb2.AssignCodesRequest, context: Context
    ) -> promos_pb2.AssignCodesResponse:
        """Gives codes to an order."""
        code_ids = await self._db.run(
            assign_codes,
            order_id=UUID(request.order_id),
            code_set_id=UUID(request.code_set_id),
            owner_member_id=UUID(request.owner_member_id),
            quantity=request.quantity,
        )
        return promos_pb2.AssignCodesResponse(code_ids=[str(code_id) for code_id in code_ids])

    async def ReleaseCodes(
        self, request: promos_pb2.ReleaseCodesRequest, context: Context
    ) -> promos_pb2.ReleaseCodesResponse:
        """Takes an order's codes back."""
        await self._db.run(release_codes, UUID(request.order_id))
        return promos_pb2.ReleaseCodesResponse()

    async def BatchGetCodes(
        self, request: promos_pb2.BatchGetCodesRequest, context: Context
    ) -> promos_pb2.BatchGetCodesResponse:
        """Codes with their present state."""
        rows = await self._db.read(queries.get_codes, [UUID(code_id) for code_id in request.code_ids])
        return promos_pb2.BatchGetCodesResponse(
            codes=[
                promos_pb2.Code(
                    id=str(row.id), code=row.code, state=promos_pb2.CodeState.Value(f"CODE_STATE_{row.state}")
                )
                for row in rows
            ]
        )


class MemberEventsHandlers(member_events_pb2_grpc.MemberEventsServiceServicer):
    """Implements MemberEventsService."""

    def __init__(self, db: Database) -> None:
        self._db = db
        # First logins meet at a campaign's row; more at once would only hold connections waiting for it.
        self._turns = asyncio.Semaphore(_EVENTS_AT_ONCE)

    async def Apply(
        self, request: member_events_pb2.ApplyRequest, context: Context
    ) -> member_events_pb2.ApplyResponse:
        """Hears of a member."""
        event = MemberEvent(
            UUID(request.member_id),
            request.version,
            member_events_pb2.MemberEventType.Name(request.type).removeprefix("MEMBER_EVENT_TYPE_"),
            moment(request, "occurred_at") or utc_now(),
            request.phone_hash or None,
        )
        async with self._turns:
            await self._db.run(apply_member_event, event)
        return member_events_pb2.ApplyResponse()
