"""Points' calls to identity."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from scrip.identity.internal.v1 import identity_pb2, identity_pb2_grpc

from services.common.channels import Peers, call


class MemberCodesClient:
    """Asks identity whose a member code is."""

    def __init__(self, peers: Peers) -> None:
        self._stub = identity_pb2_grpc.IdentityInternalServiceStub(peers.identity)
        self._token = peers.token

    async def resolve(self, codes: Sequence[str]) -> dict[str, UUID]:
        """Member ids by member code; unknown codes are absent. At most 1,000 codes.

        Raises OutcomeUnknownError when identity does not answer.
        """
        request = identity_pb2.BatchResolveMemberCodesRequest(member_codes=codes)
        reply = await call("identity", self._stub.BatchResolveMemberCodes, request, token=self._token)
        return {code: UUID(member_id) for code, member_id in reply.member_ids.items()}
