"""A member's own code, and whose a code is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from uuid import UUID

from google.api import httpbody_pb2
from scrip.common.v1 import qr_pb2
from scrip.identity.internal.v1 import identity_pb2
from scrip.identity.v1 import member_pb2

from services.common import qr
from services.common.caller import caller
from services.common.codes import read_code
from services.common.encoding import Context, caching, image_body, set_timestamp, timestamp
from services.common.ids import utc_now
from services.identity.keys import Vault
from services.identity.member_codes.codes import CodeOwner, SignedCode, open_signed_code, sign_member_code

CodeOf = Callable[[UUID], Awaitable[str]]
"""Returns the lasting code of a member. Raises MEMBER_NOT_FOUND."""
OwnersOfCodes = Callable[[Sequence[str]], Awaitable[Mapping[str, CodeOwner]]]
"""Returns the members who have these lasting codes, by code; those whose accounts are closed are absent."""
OwnersById = Callable[[Sequence[UUID]], Awaitable[Mapping[UUID, CodeOwner]]]
"""Returns these members by their ids; those whose accounts are closed are absent."""


class MyCodeHandlers:
    """Shows members their codes: a part of MemberService."""

    def __init__(self, vault: Vault, code_of: CodeOf) -> None:
        self._vault = vault
        self._code_of = code_of

    async def GetMyCode(
        self, request: member_pb2.GetMyCodeRequest, context: Context
    ) -> member_pb2.GetMyCodeResponse:
        """Returns the caller's member code, lasting or signed."""
        if request.signed:
            signed = sign_member_code(self._vault, caller().id, utc_now())
            reply = member_pb2.GetMyCodeResponse(
                member_code=signed.text, expires_at=timestamp(signed.expires_at)
            )
        else:
            reply = member_pb2.GetMyCodeResponse(member_code=await self._code_of(caller().id))
        await caching(context, _cache_control(request.signed))
        return reply

    async def GetMyQr(self, request: member_pb2.GetMyQrRequest, context: Context) -> httpbody_pb2.HttpBody:
        """Returns the caller's member code as an image."""
        if request.signed:
            code = sign_member_code(self._vault, caller().id, utc_now()).text
        else:
            code = await self._code_of(caller().id)
        image = qr.render(
            code,
            svg=request.format == qr_pb2.QR_FORMAT_SVG,
            scale=request.scale or qr.SCALE,
            margin=request.margin or qr.MARGIN,
        )
        return await image_body(context, image, _cache_control(request.signed))


class MemberCodeHandlers:
    """Resolves member codes: a part of IdentityInternalService.

    What it needs of members, whose room is above this one, is given to it.
    """

    def __init__(self, vault: Vault, owners: OwnersOfCodes, owners_by_id: OwnersById) -> None:
        self._vault = vault
        self._owners = owners
        self._owners_by_id = owners_by_id

    async def BatchResolveMemberCodes(
        self, request: identity_pb2.BatchResolveMemberCodesRequest, context: Context
    ) -> identity_pb2.BatchResolveMemberCodesResponse:
        """Returns whose these codes are: lasting ones by the database, signed ones by their signature.

        The reply names each code as the request does, however it was typed.
        """
        codes = {written: read_code(written) for written in request.member_codes}
        opened = {code: open_signed_code(self._vault, code) for code in codes.values()}
        signed = {code: found for code, found in opened.items() if found}
        lasting = opened.keys() - signed.keys()
        owners = await self._owners(sorted(lasting)) if lasting else {}
        ids = {found.member_id for found in signed.values()}
        by_id = await self._owners_by_id(sorted(ids)) if ids else {}
        reply = identity_pb2.BatchResolveMemberCodesResponse()
        for written, code in codes.items():
            found = signed.get(code)
            owner = by_id.get(found.member_id) if found else owners.get(code)
            if owner:
                resolved = (reply.suspended if owner.suspended else reply.members)[written]
                _set_resolved(resolved, owner, found)
        return reply


def _cache_control(signed: bool) -> str:
    return "no-store" if signed else "private, max-age=300"


def _set_resolved(
    resolved: identity_pb2.ResolvedMemberCode, owner: CodeOwner, signed: SignedCode | None
) -> None:
    resolved.member_id = str(owner.member_id)
    if signed:
        resolved.code_id = signed.id
        set_timestamp(resolved.issued_at, signed.issued_at)
        set_timestamp(resolved.expires_at, signed.expires_at)
