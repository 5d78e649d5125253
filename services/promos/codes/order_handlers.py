"""PromosInternalService: the codes of orders, for vouchers."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from scrip.promos.internal.v1 import promos_pb2

from services.common import status
from services.common.batching import Batcher
from services.common.db import Database
from services.common.encoding import Context, moment, timestamp
from services.promos.benefit_encoding import read_benefit
from services.promos.codes import queries
from services.promos.codes.commands.assign_codes import Assigned, NewAssignment, assign_codes
from services.promos.codes.commands.code_sets import ensure_codes
from services.promos.codes.commands.release_codes import release_codes


class OrderCodesHandlers:
    """Implements PromosInternalService."""

    def __init__(self, db: Database, currency: str) -> None:
        self._db = db
        self._currency = currency
        self._assignments = Batcher("assignments", self._assign)

    async def EnsureCodes(
        self, request: promos_pb2.EnsureCodesRequest, context: Context
    ) -> promos_pb2.EnsureCodesResponse:
        """Has codes made."""
        made = await self._db.run(
            ensure_codes,
            code_set_id=UUID(request.code_set_id),
            quantity=request.quantity,
            benefit=read_benefit(request.benefit, self._currency),
            expires_at=moment(request, "expires_at"),
            valid_days=request.valid_days or None,
        )
        return promos_pb2.EnsureCodesResponse(made=made)

    async def AssignCodes(
        self, request: promos_pb2.AssignCodesRequest, context: Context
    ) -> promos_pb2.AssignCodesResponse:
        """Gives codes to an order, together with those that come at the same time."""
        return _encode(await self._assignments.submit(_decode(request)))

    async def BatchAssignCodes(
        self, request: promos_pb2.BatchAssignCodesRequest, context: Context
    ) -> promos_pb2.BatchAssignCodesResponse:
        """Gives codes to orders; each has its own outcome."""
        response = promos_pb2.BatchAssignCodesResponse()
        answers = await self._assignments.submit_all([_decode(order) for order in request.orders])
        for order, assigned in zip(request.orders, answers, strict=True):
            outcome = response.outcomes.add(order_id=order.order_id)
            if isinstance(assigned, Exception):
                outcome.refused.CopyFrom(status.of_any(assigned, "BatchAssignCodes"))
            else:
                outcome.assigned.CopyFrom(_encode(assigned))
        return response

    async def ReleaseCodes(
        self, request: promos_pb2.ReleaseCodesRequest, context: Context
    ) -> promos_pb2.ReleaseCodesResponse:
        """Takes an order's codes back."""
        await self._db.run(release_codes, UUID(request.order_id))
        return promos_pb2.ReleaseCodesResponse()

    async def BatchGetCodes(
        self, request: promos_pb2.BatchGetCodesRequest, context: Context
    ) -> promos_pb2.BatchGetCodesResponse:
        """Returns codes with their present state."""
        rows = await self._db.read(queries.get_codes, [UUID(code_id) for code_id in request.code_ids])
        return promos_pb2.BatchGetCodesResponse(
            codes=[
                promos_pb2.Code(
                    id=str(row.id),
                    code=row.code,
                    state=promos_pb2.CodeState.Value(f"CODE_STATE_{row.state}"),
                    version=row.version,
                    expires_at=timestamp(row.expires_at),
                )
                for row in rows
            ]
        )

    async def drain(self) -> None:
        """Waits for what is under way."""
        await self._assignments.close()

    async def _assign(self, orders: list[NewAssignment]) -> list[Assigned]:
        return await self._db.run(assign_codes, orders)


def _decode(request: promos_pb2.AssignCodesRequest) -> NewAssignment:
    return NewAssignment(
        order_id=UUID(request.order_id),
        code_set_id=UUID(request.code_set_id),
        owner_member_id=UUID(request.owner_member_id),
        quantity=request.quantity,
    )


def _encode(code_ids: Sequence[UUID]) -> promos_pb2.AssignCodesResponse:
    return promos_pb2.AssignCodesResponse(code_ids=map(str, code_ids))
