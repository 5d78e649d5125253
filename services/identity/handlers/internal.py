"""IdentityInternalService: what the other services ask of identity."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from uuid import UUID

import orjson
from scrip.identity.internal.v1 import identity_pb2, identity_pb2_grpc

from services.common.auth import Caller
from services.common.db import Database
from services.common.encoding import Context, moment
from services.common.errors import DomainError, invalid_field
from services.common.ids import utc_now
from services.identity import queries
from services.identity.commands.record_audit import record_audit
from services.identity.secrets_at_rest import hash_secret
from services.identity.tokens import TokenIssuer


class InternalHandlers(identity_pb2_grpc.IdentityInternalServiceServicer):
    """Implements IdentityInternalService."""

    def __init__(self, db: Database, issuer: TokenIssuer, secret_hashes: Mapping[str, str]) -> None:
        self._db = db
        self._issuer = issuer
        self._secret_hashes = {name: bytes.fromhex(value) for name, value in secret_hashes.items()}

    async def IssueServiceToken(
        self, request: identity_pb2.IssueServiceTokenRequest, context: Context
    ) -> identity_pb2.IssueServiceTokenResponse:
        """A token for a service that knows its secret."""
        kept = self._secret_hashes.get(request.service)
        if kept is None or not hmac.compare_digest(kept, hash_secret(request.secret)):
            raise DomainError("CREDENTIALS_NOT_VALID", "name or secret is wrong")
        token = self._issuer.issue_for_service(request.service)
        return identity_pb2.IssueServiceTokenResponse(token=token.value, expires_in=token.expires_in)

    async def BatchResolveMemberCodes(
        self, request: identity_pb2.BatchResolveMemberCodesRequest, context: Context
    ) -> identity_pb2.BatchResolveMemberCodesResponse:
        """Member ids by member code."""
        found = await self._db.read(queries.resolve_member_codes, request.member_codes)
        return identity_pb2.BatchResolveMemberCodesResponse(
            member_ids={code: str(member_id) for code, member_id in found.items()}
        )

    async def RecordAudit(
        self, request: identity_pb2.RecordAuditRequest, context: Context
    ) -> identity_pb2.RecordAuditResponse:
        """Keeps another service's audit entry."""
        try:
            details = orjson.loads(request.details_json or "{}")
        except orjson.JSONDecodeError as error:
            raise invalid_field("details_json", "is not JSON") from error
        if not isinstance(details, dict):
            raise invalid_field("details_json", "is not a JSON object")
        await self._db.run(
            record_audit,
            entry_id=UUID(request.entry_id),
            service=request.service,
            actor=Caller(request.actor_id, request.actor_role),
            action=request.action,
            target_id=request.target_id,
            occurred_at=moment(request, "occurred_at") or utc_now(),
            details=details,
        )
        return identity_pb2.RecordAuditResponse()
