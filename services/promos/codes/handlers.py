"""CodeService: codes at the till."""

from __future__ import annotations

from uuid import UUID

from google.api import httpbody_pb2
from scrip.common.v1 import qr_pb2
from scrip.promos.v1 import code_pb2

from services.common import qr
from services.common.caller import MEMBER, Caller, caller
from services.common.codes import read_code
from services.common.db import Connection, Database
from services.common.encoding import Context, client_address, image_body, refuse_nul, timestamp
from services.common.errors import DomainError
from services.promos.benefit_encoding import encode_benefit
from services.promos.codes import queries
from services.promos.codes.commands.redeem_codes import NewRedemption
from services.promos.codes.encoding import encode_redemption
from services.promos.codes.guesses import Guesser, Guesses
from services.promos.codes.judging import RedeemableCode, find_redeemable
from services.promos.codes.redeemer import Redeemer
from services.promos.shown_members import ShownMembers


class CodeHandlers:
    """Implements what CodeService does with codes."""

    def __init__(self, db: Database, guesses: Guesses, members: ShownMembers, redeemer: Redeemer) -> None:
        self._db = db
        self._guesses = guesses
        self._members = members
        self._redeemer = redeemer

    async def VerifyCode(
        self, request: code_pb2.VerifyCodeRequest, context: Context
    ) -> code_pb2.VerifyCodeResponse:
        """Returns what a code is worth now."""
        who = caller()
        async with self._guesses.guess(Guesser(who, client_address(context), request.till_number)):
            found = await self._db.read(
                _find_one,
                read_code(request.code),
                member_id=await self._bringer(who, request.member_code),
                own_only=who.role == MEMBER,
            )
        return code_pb2.VerifyCodeResponse(
            code_id=str(found.id),
            benefit=encode_benefit(found.benefit),
            uses_left=found.uses_left,
            expires_at=timestamp(found.expires_at),
            member_required=found.needs_member,
            basket_required=found.benefit.has_conditions,
        )

    async def RedeemCode(
        self, request: code_pb2.RedeemCodeRequest, context: Context
    ) -> code_pb2.RedeemCodeResponse:
        """Uses a code for a sale, together with those that come at the same time."""
        who = caller()
        refuse_nul(sale_reference=request.sale_reference, till_number=request.till_number, code=request.code)
        row = await self._redeemer.redeem(
            Guesser(who, client_address(context), request.till_number),
            NewRedemption(who, read_code(request.code), request.till_number, request.sale_reference),
            member_code=request.member_code,
        )
        return code_pb2.RedeemCodeResponse(redemption=encode_redemption(row))

    async def GetCodeQr(self, request: code_pb2.GetCodeQrRequest, context: Context) -> httpbody_pb2.HttpBody:
        """Returns a code as an image."""
        who = caller()
        code = await self._db.read(
            queries.get_code_text,
            code_id=UUID(request.code_id),
            owner=who.id if who.role == MEMBER else None,
        )
        return await image_body(context, qr.render(code, svg=request.format == qr_pb2.QR_FORMAT_SVG))

    async def _bringer(self, who: Caller, member_code: str) -> UUID | None:
        """Returns the member who brings a code: the caller itself, or the one that it was shown."""
        if who.role == MEMBER:
            return who.id
        return (await self._members.find(member_code)).id if member_code else None


async def _find_one(
    connection: Connection, code: str, *, member_id: UUID | None, own_only: bool
) -> RedeemableCode:
    (found,) = await find_redeemable(connection, [code], member_id=member_id, own_only=own_only)
    if isinstance(found, DomainError):
        raise found
    return found
