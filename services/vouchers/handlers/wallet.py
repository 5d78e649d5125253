"""WalletService: what members own."""

from __future__ import annotations

from uuid import UUID

from google.api import httpbody_pb2
from scrip.common.v1 import qr_pb2
from scrip.vouchers.v1 import wallet_pb2, wallet_pb2_grpc

from services.common import qr
from services.common.caller import caller
from services.common.encoding import Context, image_body
from services.common.legacy_db import Database
from services.common.paging import Page
from services.vouchers import queries
from services.vouchers.clients import Code, PromosClient
from services.vouchers.handlers import encoding
from services.vouchers.queries import WalletRow


class WalletHandlers(wallet_pb2_grpc.WalletServiceServicer):
    """Implements WalletService."""

    def __init__(self, db: Database, promos: PromosClient) -> None:
        self._db = db
        self._promos = promos

    async def ListMyVouchers(
        self, request: wallet_pb2.ListMyVouchersRequest, context: Context
    ) -> wallet_pb2.ListMyVouchersResponse:
        """A page of what the caller owns."""
        page = Page(request.page_size, request.page_token, "wallet")
        rows, next_token = await self._db.read(queries.list_wallet, page, caller().id)
        codes = await self._promos.get_codes([row.code_id for row in rows])
        return wallet_pb2.ListMyVouchersResponse(
            vouchers=[encoding.wallet_voucher(row, codes[row.code_id]) for row in rows],
            next_page_token=next_token,
        )

    async def GetMyVoucher(
        self, request: wallet_pb2.GetMyVoucherRequest, context: Context
    ) -> wallet_pb2.GetMyVoucherResponse:
        """One of the caller's vouchers."""
        row, code = await self._owned(request.id)
        return wallet_pb2.GetMyVoucherResponse(voucher=encoding.wallet_voucher(row, code))

    async def GetMyVoucherQr(
        self, request: wallet_pb2.GetMyVoucherQrRequest, context: Context
    ) -> httpbody_pb2.HttpBody:
        """The code of one of the caller's vouchers as an image."""
        _, code = await self._owned(request.id)
        return await image_body(context, qr.render(code.text, svg=request.format == qr_pb2.QR_FORMAT_SVG))

    async def _owned(self, wallet_id: str) -> tuple[WalletRow, Code]:
        row = await self._db.read(queries.get_wallet_voucher, UUID(wallet_id), caller().id)
        codes = await self._promos.get_codes([row.code_id])
        return row, codes[row.code_id]
