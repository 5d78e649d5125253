"""CodeService: codes at the till."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from google.api import httpbody_pb2
from scrip.common.v1 import qr_pb2
from scrip.promos.v1 import code_pb2

from services.common import qr
from services.common.caller import MEMBER, Caller, caller
from services.common.codes import read_code
from services.common.db import Database
from services.common.encoding import Context, image_body, timestamp
from services.common.errors import DomainError
from services.common.throttle import Limit, Throttle
from services.promos.benefit_encoding import encode_benefit
from services.promos.brand_access import only_brand
from services.promos.codes import queries
from services.promos.codes.commands.redeem_code import redeem_code
from services.promos.codes.encoding import encode_redemption


class CodeHandlers:
    """Implements what CodeService does with codes."""

    def __init__(self, db: Database, throttle: Throttle, *, wrong_codes_per_minute: int) -> None:
        self._db = db
        self._throttle = throttle
        self._wrong_codes = Limit("wrong_codes_per_caller", wrong_codes_per_minute, 60, open_when_away=True)

    async def VerifyCode(
        self, request: code_pb2.VerifyCodeRequest, context: Context
    ) -> code_pb2.VerifyCodeResponse:
        """Returns what a code is worth now."""
        who = caller()
        async with self._guess(who):
            usable = await self._db.read(
                queries.verify_code, code=read_code(request.code), owner=_own_only(who)
            )
        return code_pb2.VerifyCodeResponse(
            code_id=str(usable.id),
            benefit=encode_benefit(usable.benefit),
            uses_left=usable.uses_left,
            expires_at=timestamp(usable.expires_at),
        )

    async def RedeemCode(
        self, request: code_pb2.RedeemCodeRequest, context: Context
    ) -> code_pb2.RedeemCodeResponse:
        """Uses a code for a sale."""
        who = caller()
        async with self._guess(who):
            row = await self._db.run(
                redeem_code,
                actor=who,
                code=read_code(request.code),
                till_number=request.till_number,
                sale_reference=request.sale_reference,
            )
        return code_pb2.RedeemCodeResponse(redemption=encode_redemption(row))

    async def GetCodeQr(self, request: code_pb2.GetCodeQrRequest, context: Context) -> httpbody_pb2.HttpBody:
        """Returns a code as an image."""
        who = caller()
        code = await self._db.read(
            queries.get_code_text,
            code_id=UUID(request.code_id),
            owner=_own_only(who),
            brand_id=only_brand(who),
        )
        return await image_body(context, qr.render(code, svg=request.format == qr_pb2.QR_FORMAT_SVG))

    @asynccontextmanager
    async def _guess(self, who: Caller) -> AsyncIterator[None]:
        """Limits how often a caller may come with a code that is not valid."""
        await self._throttle.check(self._wrong_codes, who.subject)
        try:
            yield
        except DomainError as error:
            if error.reason == "CODE_NOT_VALID":
                await self._throttle.hit(self._wrong_codes, who.subject)
            raise


def _own_only(who: Caller) -> UUID | None:
    """Returns the owner whose codes alone the caller may see; None for tills and staff, who see all."""
    return who.id if who.role == MEMBER else None
