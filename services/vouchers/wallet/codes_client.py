"""The wallet's calls to promos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import grpc
from scrip.promos.internal.v1 import promos_pb2, promos_pb2_grpc

from services.common import channels
from services.common.encoding import moment

CODES_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Code:
    """A code as promos has it. `state` is USABLE, USED, EXPIRED or VOID; `version` grows with each change."""

    id: UUID
    text: str
    state: str
    version: int
    expires_at: datetime | None


class CodesReader:
    """Reads codes with their present state."""

    def __init__(self, promos: grpc.aio.Channel, token: channels.TokenSource) -> None:
        self._stub = promos_pb2_grpc.PromosInternalServiceStub(promos)
        self._token = token

    async def get(self, code_ids: Sequence[UUID]) -> list[Code]:
        """Returns those of these codes that somebody owns. Raises OutcomeUnknownError when promos is away."""
        assert len(code_ids) <= CODES_AT_ONCE, "a page of a wallet is never larger"
        request = promos_pb2.BatchGetCodesRequest(code_ids=[str(code_id) for code_id in code_ids])
        reply = await channels.call("promos", self._stub.BatchGetCodes, request, token=self._token)
        return [
            Code(
                UUID(code.id),
                code.code,
                promos_pb2.CodeState.Name(code.state).removeprefix("CODE_STATE_"),
                code.version,
                moment(code, "expires_at"),
            )
            for code in reply.codes
        ]
