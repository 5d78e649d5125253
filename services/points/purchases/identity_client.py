"""Points' calls to identity."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from scrip.identity.internal.v1 import identity_pb2, identity_pb2_grpc

from services.common.channels import Peers, call
from services.common.encoding import moment
from services.points.purchases.member_codes import ResolvedCode, SignedCode


class MemberCodesClient:
    """Asks identity whose a member code is."""

    def __init__(self, peers: Peers) -> None:
        self._stub = identity_pb2_grpc.IdentityInternalServiceStub(peers.identity)
        self._token = peers.token

    async def resolve(self, codes: Sequence[str]) -> dict[str, ResolvedCode]:
        """Returns whose each code is; unknown codes, and those of closed accounts, are absent.

        Takes 1,000 codes at most. Raises OutcomeUnknownError when identity does not reply.
        """
        request = identity_pb2.BatchResolveMemberCodesRequest(member_codes=codes)
        reply = await call("identity", self._stub.BatchResolveMemberCodes, request, token=self._token)
        active = {code: _resolved(found, suspended=False) for code, found in reply.members.items()}
        return active | {code: _resolved(found, suspended=True) for code, found in reply.suspended.items()}


def _resolved(found: identity_pb2.ResolvedMemberCode, *, suspended: bool) -> ResolvedCode:
    member_id = UUID(found.member_id)
    if not found.code_id:
        return ResolvedCode(member_id, None, suspended)
    issued_at, expires_at = moment(found, "issued_at"), moment(found, "expires_at")
    assert issued_at is not None, "identity tells it of every signed code"
    assert expires_at is not None, "identity tells it of every signed code"
    return ResolvedCode(member_id, SignedCode(found.code_id, member_id, issued_at, expires_at), suspended)
