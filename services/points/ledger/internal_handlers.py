"""PointsInternalService and MemberEventsService: what other services ask of points, and tell it."""

from __future__ import annotations

from uuid import UUID

from scrip.common.internal.v1 import member_events_pb2, member_events_pb2_grpc
from scrip.points.internal.v1 import points_pb2, points_pb2_grpc

from services.common.encoding import Context, moment
from services.common.legacy_db import Database
from services.points.balances.balances import Balances
from services.points.ledger.commands.debit import debit
from services.points.ledger.commands.undo_debit import undo_debit
from services.points.members.apply_member_event import MemberEvent, apply_member_event


class InternalHandlers(points_pb2_grpc.PointsInternalServiceServicer):
    """Implements PointsInternalService."""

    def __init__(self, db: Database, balances: Balances) -> None:
        self._db = db
        self._balances = balances

    async def Debit(self, request: points_pb2.DebitRequest, context: Context) -> points_pb2.DebitResponse:
        """Takes an order's points, once."""
        done = await self._db.run(
            debit,
            order_id=UUID(request.order_id),
            member_id=UUID(request.member_id),
            points=request.points,
        )
        await self._balances.changed([done.now])
        return points_pb2.DebitResponse(balance_after=done.balance_after)

    async def UndoDebit(
        self, request: points_pb2.UndoDebitRequest, context: Context
    ) -> points_pb2.UndoDebitResponse:
        """Gives an order's points back, once."""
        balance = await self._db.run(
            undo_debit, order_id=UUID(request.order_id), member_id=UUID(request.member_id)
        )
        await self._balances.changed([balance] if balance else [])
        return points_pb2.UndoDebitResponse()


class MemberEventsHandlers(member_events_pb2_grpc.MemberEventsServiceServicer):
    """Implements MemberEventsService."""

    def __init__(self, db: Database, balances: Balances) -> None:
        self._db = db
        self._balances = balances

    async def Apply(
        self, request: member_events_pb2.ApplyRequest, context: Context
    ) -> member_events_pb2.ApplyResponse:
        """Applies an event, once in effect."""
        event = MemberEvent(
            UUID(request.event_id),
            UUID(request.member_id),
            request.version,
            member_events_pb2.MemberEventType.Name(request.type).removeprefix("MEMBER_EVENT_TYPE_"),
            moment(request, "occurred_at"),
        )
        balance = await self._db.run(apply_member_event, event)
        if balance:
            await self._balances.changed([balance])
        elif event.type == "CLOSED":
            await self._balances.renew(event.member_id)
        return member_events_pb2.ApplyResponse()
