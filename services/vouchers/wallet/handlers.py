"""WalletService: what members own."""

from __future__ import annotations

from uuid import UUID

from google.api import httpbody_pb2
from scrip.common.v1 import qr_pb2
from scrip.vouchers.v1 import wallet_pb2

from services.common import qr
from services.common.caller import caller
from services.common.db import Database
from services.common.encoding import Context, image_body, timestamp
from services.common.paging import Page
from services.vouchers.catalogue.encoding import benefit, face_value, thumbnail_path
from services.vouchers.wallet import queries
from services.vouchers.wallet.code_copies import CodeCopies
from services.vouchers.wallet.codes_client import Code
from services.vouchers.wallet.queries import WalletRow


class WalletHandlers:
    """Implements WalletService."""

    def __init__(self, db: Database, codes: CodeCopies) -> None:
        self._db = db
        self._codes = codes

    async def ListMyVouchers(
        self, request: wallet_pb2.ListMyVouchersRequest, context: Context
    ) -> wallet_pb2.ListMyVouchersResponse:
        """Returns a page of what the caller owns."""
        page = Page(request.page_size, request.page_token, "wallet")
        rows, next_token = await self._db.read(queries.list_wallet, page, caller().id)
        codes = await self._codes.get([row.code_id for row in rows])
        return wallet_pb2.ListMyVouchersResponse(
            vouchers=[_encode(row, codes[row.code_id]) for row in rows], next_page_token=next_token
        )

    async def GetMyVoucher(
        self, request: wallet_pb2.GetMyVoucherRequest, context: Context
    ) -> wallet_pb2.GetMyVoucherResponse:
        """Returns one of the caller's vouchers."""
        row, code = await self._owned(request.wallet_voucher_id)
        return wallet_pb2.GetMyVoucherResponse(voucher=_encode(row, code))

    async def GetMyVoucherQr(
        self, request: wallet_pb2.GetMyVoucherQrRequest, context: Context
    ) -> httpbody_pb2.HttpBody:
        """Returns the code of one of the caller's vouchers as an image."""
        _, code = await self._owned(request.wallet_voucher_id)
        return await image_body(context, qr.render(code.text, svg=request.format == qr_pb2.QR_FORMAT_SVG))

    async def _owned(self, wallet_id: str) -> tuple[WalletRow, Code]:
        row = await self._db.read(queries.get_wallet_voucher, UUID(wallet_id), caller().id)
        codes = await self._codes.get([row.code_id])
        return row, codes[row.code_id]


def _encode(row: WalletRow, code: Code) -> wallet_pb2.WalletVoucher:
    return wallet_pb2.WalletVoucher(
        id=str(row.id),
        voucher_id=str(row.voucher_id),
        order_id=str(row.order_id),
        title=row.title,
        face_value=face_value(row),
        code=code.text,
        state=wallet_pb2.WalletVoucherState.Value(f"WALLET_VOUCHER_STATE_{code.state}"),
        acquired_at=timestamp(row.acquired_at),
        expires_at=timestamp(code.expires_at),
        benefit=benefit(row),
        thumbnail_path=thumbnail_path(row.image_id),
    )
