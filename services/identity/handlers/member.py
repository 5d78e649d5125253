"""MemberService: what members see of themselves."""

from __future__ import annotations

from google.api import httpbody_pb2
from scrip.common.v1 import qr_pb2
from scrip.identity.v1 import member_pb2, member_pb2_grpc

from services.common import qr
from services.common.auth import caller
from services.common.db import Database
from services.common.encoding import Context, image_body
from services.identity import queries
from services.identity.handlers import encoding


class MemberHandlers(member_pb2_grpc.MemberServiceServicer):
    """Implements MemberService."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def GetMe(self, request: member_pb2.GetMeRequest, context: Context) -> member_pb2.GetMeResponse:
        """The caller's account."""
        row = await self._db.read(queries.get_member, caller().id)
        return member_pb2.GetMeResponse(member=encoding.member(row))

    async def GetMyCode(
        self, request: member_pb2.GetMyCodeRequest, context: Context
    ) -> member_pb2.GetMyCodeResponse:
        """The caller's member code."""
        code = await self._db.read(queries.get_member_code, caller().id)
        return member_pb2.GetMyCodeResponse(member_code=code)

    async def GetMyQr(self, request: member_pb2.GetMyQrRequest, context: Context) -> httpbody_pb2.HttpBody:
        """The caller's member code as an image."""
        code = await self._db.read(queries.get_member_code, caller().id)
        return await image_body(context, qr.render(code, svg=request.format == qr_pb2.QR_FORMAT_SVG))
