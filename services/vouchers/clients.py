"""Vouchers' calls to points and promos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import grpc
from scrip.common.v1 import money_pb2
from scrip.points.internal.v1 import points_pb2, points_pb2_grpc
from scrip.promos.internal.v1 import promos_pb2, promos_pb2_grpc
from scrip.promos.v1 import code_pb2

from services.common import channels
from services.common.encoding import timestamp
from services.vouchers.queries import OrderRow, VoucherRow

CODES_AT_ONCE = 200


@dataclass(frozen=True)
class Code:
    """A code as promos has it. `state` is USABLE, USED, EXPIRED or VOID."""

    text: str
    state: str


class PointsClient:
    """Takes points and gives them back."""

    def __init__(self, channel: grpc.aio.Channel, token: channels.TokenSource) -> None:
        self._stub = points_pb2_grpc.PointsInternalServiceStub(channel)
        self._token = token

    async def debit(self, order: OrderRow) -> None:
        """Takes the order's points. Raises INSUFFICIENT_POINTS and other definite noes."""
        request = points_pb2.DebitRequest(
            order_id=str(order.id), member_id=str(order.member_id), points=order.price_points
        )
        await channels.call("points", self._stub.Debit, request, token=self._token)

    async def undo_debit(self, order: OrderRow) -> None:
        """Sees to it that nothing is debited for the order, now and later."""
        request = points_pb2.UndoDebitRequest(order_id=str(order.id), member_id=str(order.member_id))
        await channels.call("points", self._stub.UndoDebit, request, token=self._token)


class PromosClient:
    """Has codes made, given and taken back."""

    def __init__(self, channel: grpc.aio.Channel, token: channels.TokenSource) -> None:
        self._stub = promos_pb2_grpc.PromosInternalServiceStub(channel)
        self._token = token

    async def ensure_codes(self, voucher: VoucherRow) -> None:
        """Has the voucher's codes made."""
        face_value = money_pb2.Money(
            currency_code=voucher.currency_code, amount_minor=voucher.face_value_minor
        )
        request = promos_pb2.EnsureCodesRequest(
            code_set_id=str(voucher.id),
            quantity=voucher.quantity,
            benefit=code_pb2.Benefit(amount_off=face_value),
            expires_at=timestamp(voucher.codes_expire_at),
        )
        await channels.call("promos", self._stub.EnsureCodes, request, token=self._token)

    async def assign_code(self, order: OrderRow) -> UUID:
        """Gives the order a code. Raises OutcomeUnknownError while none is ready, and definite noes."""
        request = promos_pb2.AssignCodesRequest(
            order_id=str(order.id),
            code_set_id=str(order.voucher_id),
            owner_member_id=str(order.member_id),
            quantity=1,
        )
        reply = await channels.call("promos", self._stub.AssignCodes, request, token=self._token)
        return UUID(reply.code_ids[0])

    async def release_codes(self, order: OrderRow) -> None:
        """Sees to it that the order owns no usable code, now and later."""
        request = promos_pb2.ReleaseCodesRequest(order_id=str(order.id))
        await channels.call("promos", self._stub.ReleaseCodes, request, token=self._token)

    async def get_codes(self, code_ids: Sequence[UUID]) -> dict[UUID, Code]:
        """Codes by id, with their present state."""
        if not code_ids:
            return {}
        assert len(code_ids) <= CODES_AT_ONCE, "a page of a wallet is never larger"
        request = promos_pb2.BatchGetCodesRequest(code_ids=[str(code_id) for code_id in code_ids])
        reply = await channels.call("promos", self._stub.BatchGetCodes, request, token=self._token)
        return {
            UUID(code.id): Code(code.code, promos_pb2.CodeState.Name(code.state).removeprefix("CODE_STATE_"))
            for code in reply.codes
        }
