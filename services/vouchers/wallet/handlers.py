"""WalletService: what members own."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from google.api import httpbody_pb2
from scrip.common.v1 import qr_pb2
from scrip.vouchers.v1 import wallet_pb2

from services.common import qr
from services.common.caller import caller
from services.common.db import Database
from services.common.encoding import Context, image_body, timestamp
from services.common.list_pages import read_page
from services.vouchers.catalogue.encoding import benefit, face_value, thumbnail_path
from services.vouchers.wallet import queries
from services.vouchers.wallet.code_copies import CodeCopies
from services.vouchers.wallet.codes_client import Code
from services.vouchers.wallet.queries import WalletRow
from services.vouchers.wallet.refusals import wallet_voucher_on_offer

_STATE = "WALLET_VOUCHER_STATE_"


class WalletHandlers:
    """Implements WalletService."""

    def __init__(self, db: Database, codes: CodeCopies) -> None:
        self._db = db
        self._codes = codes

    async def ListMyVouchers(
        self, request: wallet_pb2.ListMyVouchersRequest, context: Context
    ) -> wallet_pb2.ListMyVouchersResponse:
        """Returns a page of what the caller owns."""
        wanted: dict[str, Any] = {
            "member_id": caller().id,
            "voucher_id": UUID(request.voucher_id) if request.voucher_id else None,
            "state": _read_state(request.state),
        }
        page = await read_page(self._db, queries.WALLET, request, **wanted)
        codes = await self._codes.get([row.code_id for row in page.rows])
        vouchers = [_encode(row, codes[row.code_id]) for row in page.rows]
        return wallet_pb2.ListMyVouchersResponse(
            # promos may just have told of one that it stands elsewhere.
            vouchers=[one for one in vouchers if request.state in (0, one.state)],
            next_page_token=page.next_page_token,
            total=page.total,
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
        row, code = await self._owned(request.wallet_voucher_id)
        if row.on_offer:
            assert row.gift_id is not None, "it is on offer as a gift"
            raise wallet_voucher_on_offer(row.gift_id)
        return await image_body(context, qr.render(code.text, svg=request.format == qr_pb2.QR_FORMAT_SVG))

    async def _owned(self, wallet_id: str) -> tuple[WalletRow, Code]:
        row = await self._db.read(queries.get_wallet_voucher, UUID(wallet_id), caller().id)
        codes = await self._codes.get([row.code_id])
        return row, codes[row.code_id]


def _read_state(state: wallet_pb2.WalletVoucherState.ValueType) -> str | None:
    return wallet_pb2.WalletVoucherState.Name(state).removeprefix(_STATE) if state else None


def _encode(row: WalletRow, code: Code) -> wallet_pb2.WalletVoucher:
    return wallet_pb2.WalletVoucher(
        id=str(row.id),
        voucher_id=str(row.voucher_id),
        order_id=str(row.order_id or ""),
        title=row.title,
        face_value=face_value(row),
        code="" if row.on_offer else code.text,
        state=wallet_pb2.WalletVoucherState.Value(
            f"{_STATE}ON_OFFER" if row.on_offer else f"{_STATE}{code.state}"
        ),
        acquired_at=timestamp(row.acquired_at),
        expires_at=timestamp(code.expires_at),
        benefit=benefit(row),
        gift_id=str(row.gift_id or ""),
        thumbnail_path=thumbnail_path(row.image_id),
    )
