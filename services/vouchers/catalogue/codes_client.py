"""The catalogue's calls to promos."""

from __future__ import annotations

import logging
from uuid import UUID

import grpc
from scrip.promos.internal.v1 import promos_pb2, promos_pb2_grpc

from services.common import channels
from services.common.db import Database
from services.common.encoding import timestamp
from services.common.errors import is_away
from services.vouchers.catalogue.code_stock import list_lacking, note_codes_made
from services.vouchers.catalogue.encoding import benefit
from services.vouchers.catalogue.queries import VoucherRow, get_voucher

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
_PAGE = 100


class CodesMaker:
    """Has vouchers' codes made, and notes how many there are."""

    def __init__(self, db: Database, promos: grpc.aio.Channel, token: channels.TokenSource) -> None:
        self._db = db
        self._stub = promos_pb2_grpc.PromosInternalServiceStub(promos)
        self._token = token
        self._told: set[UUID] = set()

    async def run(self, voucher_id: str) -> None:
        """Asks for a voucher's codes, if it was published; the job that does so at once."""
        voucher = await self._db.read(get_voucher, UUID(voucher_id))
        if voucher.codes_wanted:
            await self._ensure(voucher)

    async def look(self) -> None:
        """Asks how far the codes are that are being made, of one voucher after the other.

        One that fails waits for its job, which is set aside where staff see it; it is told here once.
        """
        after = UUID(int=0)
        while page := await self._db.read(list_lacking, after=after, limit=_PAGE):
            for voucher in page:
                try:
                    await self._ensure(voucher)
                except Exception as error:
                    if is_away(error):
                        raise
                    if voucher.id not in self._told:
                        log.exception("no codes are made of voucher %s", voucher.id)
                    self._told.add(voucher.id)
                else:
                    self._told.discard(voucher.id)
            after = page[-1].id

    async def _ensure(self, voucher: VoucherRow) -> None:
        """Has as many codes made as the voucher shall have by now. A repetition makes no more."""
        request = promos_pb2.EnsureCodesRequest(
            code_set_id=str(voucher.id),
            quantity=voucher.codes_wanted,
            benefit=benefit(voucher),
            expires_at=timestamp(voucher.codes_expire_at),
            valid_days=voucher.valid_days,
        )
        reply = await channels.call("promos", self._stub.EnsureCodes, request, token=self._token)
        await self._db.run_autocommit(note_codes_made, voucher.id, reply.made)
