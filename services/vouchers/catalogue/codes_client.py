"""The catalogue's calls to promos."""

from __future__ import annotations

import grpc
from scrip.promos.internal.v1 import promos_pb2, promos_pb2_grpc

from services.common import channels
from services.common.encoding import timestamp
from services.vouchers.catalogue.encoding import benefit
from services.vouchers.catalogue.queries import VoucherRow


class CodesMaker:
    """Has vouchers' codes made."""

    def __init__(self, promos: grpc.aio.Channel, token: channels.TokenSource) -> None:
        self._stub = promos_pb2_grpc.PromosInternalServiceStub(promos)
        self._token = token

    async def ensure_codes(self, voucher: VoucherRow) -> None:
        """Has as many codes made as the voucher's quantity. A repetition makes no more."""
        request = promos_pb2.EnsureCodesRequest(
            code_set_id=str(voucher.id),
            quantity=voucher.quantity,
            benefit=benefit(voucher),
            expires_at=timestamp(voucher.codes_expire_at),
            valid_days=voucher.valid_days,
        )
        await channels.call("promos", self._stub.EnsureCodes, request, token=self._token)
