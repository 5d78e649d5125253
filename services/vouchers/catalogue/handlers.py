"""CatalogueService: what staff offer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

from google.api import httpbody_pb2
from scrip.vouchers.v1 import catalogue_pb2

from services.common.caller import caller
from services.common.csv_lists import csv_replies
from services.common.db import Connection, Database
from services.common.encoding import Context, moment
from services.common.idempotent import idempotent
from services.common.list_pages import read_page
from services.vouchers.catalogue import encoding
from services.vouchers.catalogue.commands import (
    OffSale,
    create_voucher,
    publish_voucher,
    take_off_sale,
    update_voucher,
)
from services.vouchers.catalogue.quantity_changes import QuantityChanges
from services.vouchers.catalogue.queries import VOUCHER_LIST, get_voucher
from services.vouchers.catalogue.search import search_filter

_OffSaleRequest = catalogue_pb2.DeactivateVoucherRequest | catalogue_pb2.ArchiveVoucherRequest


class CatalogueHandlers:
    """Implements CatalogueService."""

    def __init__(
        self, db: Database, changes: QuantityChanges, currency_code: str, *, codes_ahead: int
    ) -> None:
        self._db = db
        self._changes = changes
        self._currency_code = currency_code
        self._codes_ahead = codes_ahead

    async def CreateVoucher(
        self, request: catalogue_pb2.CreateVoucherRequest, context: Context
    ) -> catalogue_pb2.CreateVoucherResponse:
        """Creates a voucher, once per key if one is given."""

        async def create(connection: Connection) -> catalogue_pb2.CreateVoucherResponse:
            new = encoding.new_voucher(request, self._currency_code)
            row = await create_voucher(connection, actor=caller(), new=new, codes_ahead=self._codes_ahead)
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
        wanted = encoding.wanted_vouchers(request)
        page = await read_page(
            self._db,
            VOUCHER_LIST,
            request,
            order_by=request.order_by,
            asked=(request.query, sorted(wanted.items())),
            **wanted | await self._db.read(search_filter, request.query),
        )
        return catalogue_pb2.ListVouchersResponse(
            vouchers=map(encoding.voucher, page.rows), next_page_token=page.next_page_token, total=page.total
        )

    async def ExportVouchers(
        self, request: catalogue_pb2.ExportVouchersRequest, context: Context
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        """Returns vouchers as CSV, in pieces."""
        found = await self._db.read(search_filter, request.query)
        wanted = encoding.wanted_vouchers(request) | found
        batches = VOUCHER_LIST.batches(self._db, order_by="created_at", **wanted)
        lines = (map(encoding.cells, rows) async for rows in batches)
        async for reply in csv_replies(context, "vouchers", encoding.CSV_COLUMNS, lines):
            yield reply

    async def UpdateVoucher(
        self, request: catalogue_pb2.UpdateVoucherRequest, context: Context
    ) -> catalogue_pb2.UpdateVoucherResponse:
        """Changes what is given, empties what is named."""
        row = await self._db.run(
            update_voucher,
            actor=caller(),
            voucher_id=UUID(request.voucher_id),
            etag=request.etag,
            changes=encoding.changes(request, self._currency_code),
            codes_ahead=self._codes_ahead,
        )
        self._changes.tell({row.id})
        return catalogue_pb2.UpdateVoucherResponse(voucher=encoding.voucher(row))

    async def PublishVoucher(
        self, request: catalogue_pb2.PublishVoucherRequest, context: Context
    ) -> catalogue_pb2.PublishVoucherResponse:
        """Puts a voucher on sale, now or later."""
        row = await self._db.run(
            publish_voucher,
            actor=caller(),
            voucher_id=UUID(request.voucher_id),
            etag=request.etag,
            sale_starts_at=moment(request, "sale_starts_at"),
            codes_ahead=self._codes_ahead,
        )
        self._changes.tell({row.id})
        return catalogue_pb2.PublishVoucherResponse(voucher=encoding.voucher(row))

    async def DeactivateVoucher(
        self, request: catalogue_pb2.DeactivateVoucherRequest, context: Context
    ) -> catalogue_pb2.DeactivateVoucherResponse:
        """Takes a voucher off sale for now."""
        voucher = await self._take_off_sale(request, "INACTIVE")
        return catalogue_pb2.DeactivateVoucherResponse(voucher=voucher)

    async def ArchiveVoucher(
        self, request: catalogue_pb2.ArchiveVoucherRequest, context: Context
    ) -> catalogue_pb2.ArchiveVoucherResponse:
        """Takes a voucher off sale for good."""
        voucher = await self._take_off_sale(request, "ARCHIVED")
        return catalogue_pb2.ArchiveVoucherResponse(voucher=voucher)

    async def _take_off_sale(self, request: _OffSaleRequest, state: OffSale) -> catalogue_pb2.Voucher:
        row = await self._db.run(
            take_off_sale,
            actor=caller(),
            voucher_id=UUID(request.voucher_id),
            etag=request.etag,
            state=state,
        )
        self._changes.tell({row.id})
        return encoding.voucher(row)
