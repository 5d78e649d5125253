"""CatalogueService: what staff offer."""

from __future__ import annotations

from uuid import UUID

from scrip.vouchers.v1 import catalogue_pb2

from services.common.caller import caller
from services.common.db import Connection, Database
from services.common.encoding import Context
from services.common.idempotent import idempotent
from services.common.list_pages import read_page
from services.vouchers.catalogue import encoding
from services.vouchers.catalogue.commands import create_voucher
from services.vouchers.catalogue.queries import VOUCHER_LIST, get_voucher


class CatalogueHandlers:
    """Implements CatalogueService."""

    def __init__(self, db: Database, currency_code: str) -> None:
        self._db = db
        self._currency_code = currency_code

    async def CreateVoucher(
        self, request: catalogue_pb2.CreateVoucherRequest, context: Context
    ) -> catalogue_pb2.CreateVoucherResponse:
        """Creates a voucher, once per key if one is given."""

        async def create(connection: Connection) -> catalogue_pb2.CreateVoucherResponse:
            new = encoding.new_voucher(request, self._currency_code)
            row = await create_voucher(connection, actor=caller(), new=new)
            return catalogue_pb2.CreateVoucherResponse(voucher=encoding.voucher(row))

        reply = catalogue_pb2.CreateVoucherResponse
        return await idempotent(self._db, context, request, reply, create, required=False)

    async def GetVoucher(
        self, request: catalogue_pb2.GetVoucherRequest, context: Context
    ) -> catalogue_pb2.GetVoucherResponse:
        """Returns one voucher."""
        row = await self._db.read(get_voucher, UUID(request.voucher_id))
        return catalogue_pb2.GetVoucherResponse(voucher=encoding.voucher(row))

    async def ListVouchers(
        self, request: catalogue_pb2.ListVouchersRequest, context: Context
    ) -> catalogue_pb2.ListVouchersResponse:
        """Returns a page of vouchers."""
        order_by, wanted = request.order_by, encoding.wanted_vouchers(request)
        page = await read_page(self._db, VOUCHER_LIST, request, order_by=order_by, **wanted)
        return catalogue_pb2.ListVouchersResponse(
            vouchers=map(encoding.voucher, page.rows), next_page_token=page.next_page_token, total=page.total
        )
