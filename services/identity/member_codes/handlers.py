"""Whose a member code is: a part of IdentityInternalService."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from uuid import UUID

from scrip.identity.internal.v1 import identity_pb2

from services.common.codes import read_code
from services.common.encoding import Context, timestamp
from services.identity.keys import Vault
from services.identity.member_codes.codes import SignedCode, open_signed_code

OwnersOfCodes = Callable[[Sequence[str]], Awaitable[Mapping[str, UUID]]]
"""Returns the active members who have these lasting codes, by code."""
ActiveMembers = Callable[[Sequence[UUID]], Awaitable[AbstractSet[UUID]]]
"""Returns those of these members whose accounts are active."""


class MemberCodeHandlers:
    """Resolves member codes; what it needs of members, whose room is above this one, is given to it."""

    def __init__(self, vault: Vault, owners: OwnersOfCodes, active_members: ActiveMembers) -> None:
        self._vault = vault
        self._owners = owners
        self._active_members = active_members

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
        active = await self._active_members(sorted(ids)) if ids else frozenset()
        reply = identity_pb2.BatchResolveMemberCodesResponse()
        for written, code in codes.items():
            if code in owners:
                reply.members[written].member_id = str(owners[code])
            elif code in signed and signed[code].member_id in active:
                reply.members[written].CopyFrom(_signed_code(signed[code]))
        return reply


def _signed_code(code: SignedCode) -> identity_pb2.ResolvedMemberCode:
    return identity_pb2.ResolvedMemberCode(
        member_id=str(code.member_id),
        code_id=code.id,
        issued_at=timestamp(code.issued_at),
        expires_at=timestamp(code.expires_at),
    )
