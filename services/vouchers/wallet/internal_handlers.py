"""VouchersInternalService: what other services ask of wallets."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from scrip.vouchers.internal.v1 import vouchers_pb2
from scrip.vouchers.v1 import wallet_pb2

from services.common.db import Database
from services.common.encoding import Context, moment, timestamp
from services.vouchers.catalogue.encoding import benefit, face_value
from services.vouchers.wallet.code_copies import CodeCopies, keep_code_state
from services.vouchers.wallet.codes_client import CODES_AT_ONCE
from services.vouchers.wallet.usable_coupons import MOST_COUPONS, owned_coupons

_NEVER = datetime.max.replace(tzinfo=UTC)


class WalletInternalHandlers:
    """Implements VouchersInternalService."""

    def __init__(self, db: Database, codes: CodeCopies) -> None:
        self._db = db
        self._codes = codes

    async def GetUsableCoupons(
        self, request: vouchers_pb2.GetUsableCouponsRequest, context: Context
    ) -> vouchers_pb2.GetUsableCouponsResponse:
        """Returns what a member owns and can use now."""
        rows = await self._db.read(owned_coupons, UUID(request.member_id), limit=CODES_AT_ONCE)
        codes = await self._codes.get([row.code_id for row in rows])
        usable = [row for row in rows if row.code_id in codes and codes[row.code_id].state == "USABLE"]
        usable.sort(key=lambda row: codes[row.code_id].expires_at or _NEVER)
        return vouchers_pb2.GetUsableCouponsResponse(
            coupons=[
                vouchers_pb2.UsableCoupon(
                    title=row.title,
                    face_value=face_value(row),
                    expires_at=timestamp(codes[row.code_id].expires_at),
                    code=codes[row.code_id].text,
                    benefit=benefit(row),
                )
                for row in usable[:MOST_COUPONS]
            ]
        )

    async def ApplyCodeState(
        self, request: vouchers_pb2.ApplyCodeStateRequest, context: Context
    ) -> vouchers_pb2.ApplyCodeStateResponse:
        """Keeps what promos told of a code, once in effect."""
        state = wallet_pb2.WalletVoucherState.Name(request.state).removeprefix("WALLET_VOUCHER_STATE_")
        await self._db.run(
            keep_code_state,
            code_id=UUID(request.code_id),
            state=state,
            version=request.version,
            expires_at=moment(request, "expires_at"),
        )
        return vouchers_pb2.ApplyCodeStateResponse()
