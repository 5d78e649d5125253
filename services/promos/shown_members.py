"""The member who shows a code at the till, as identity knows it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from scrip.identity.internal.v1 import identity_pb2, identity_pb2_grpc

from services.common.batching import Batcher
from services.common.channels import Peers, call
from services.common.codes import read_code
from services.common.errors import DomainError


@dataclass(frozen=True, slots=True)
class ShownMember:
    """An active member; `signed_code_id` is the id of the signed code that was shown, if it was one."""

    id: UUID
    signed_code_id: str | None


_CODE = re.compile(r"[0-9A-Z]{1,64}")
_MOST_TOGETHER = 200


class ShownMembers:
    """Asks identity whose member codes are. Those that are shown at the same time share a call."""

    def __init__(self, peers: Peers) -> None:
        self._stub = identity_pb2_grpc.IdentityInternalServiceStub(peers.identity)
        self._token = peers.token
        self._questions = Batcher("member_codes", self._resolve, max_batch=_MOST_TOGETHER)

    async def find(self, member_code: str) -> ShownMember:
        """Returns the member whose lasting or signed code it is.

        Raises MEMBER_CODE_UNKNOWN, also for a signed code whose time is over and for members who are
        suspended or gone, OVERLOADED, and OutcomeUnknownError when identity does not reply.
        """
        code = read_code(member_code)
        # What can not be a code is not asked about: identity would refuse all that share the call with it.
        found = await self._questions.submit(code) if _CODE.fullmatch(code) else None
        if found is None or _is_over(found):
            raise DomainError("MEMBER_CODE_UNKNOWN", "no such member code, or its time is over")
        return ShownMember(UUID(found.member_id), found.code_id or None)

    async def drain(self) -> None:
        """Waits for what is under way."""
        await self._questions.close()

    async def _resolve(self, codes: list[str]) -> list[identity_pb2.ResolvedMemberCode | None]:
        request = identity_pb2.BatchResolveMemberCodesRequest(member_codes=dict.fromkeys(codes))
        reply = await call("identity", self._stub.BatchResolveMemberCodes, request, token=self._token)
        return [reply.members.get(code) for code in codes]


def _is_over(found: identity_pb2.ResolvedMemberCode) -> bool:
    return found.HasField("expires_at") and found.expires_at.ToDatetime(UTC) < datetime.now(UTC)
