"""The member who shows a code at the till, as identity knows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from scrip.identity.internal.v1 import identity_pb2, identity_pb2_grpc

from services.common.channels import Peers, call
from services.common.codes import read_code
from services.common.errors import DomainError


@dataclass(frozen=True, slots=True)
class ShownMember:
    """An active member; `signed_code_id` is the id of the signed code that was shown, if it was one."""

    id: UUID
    signed_code_id: str | None


class ShownMembers:
    """Asks identity whose a member code is."""

    def __init__(self, peers: Peers) -> None:
        self._stub = identity_pb2_grpc.IdentityInternalServiceStub(peers.identity)
        self._token = peers.token

    async def find(self, member_code: str) -> ShownMember:
        """Returns the member whose lasting or signed code it is.

        Raises MEMBER_CODE_UNKNOWN, also for a signed code whose time is over and for members who are
        suspended or gone, and OutcomeUnknownError when identity does not reply.
        """
        code = read_code(member_code)
        request = identity_pb2.BatchResolveMemberCodesRequest(member_codes=[code])
        reply = await call("identity", self._stub.BatchResolveMemberCodes, request, token=self._token)
        found = reply.members.get(code)
        if found is None or _is_over(found):
            raise DomainError("MEMBER_CODE_UNKNOWN", "no such member code, or its time is over")
        return ShownMember(UUID(found.member_id), found.code_id or None)


def _is_over(found: identity_pb2.ResolvedMemberCode) -> bool:
    return found.HasField("expires_at") and found.expires_at.ToDatetime(UTC) < datetime.now(UTC)
