"""IdentityInternalService: what the other services ask of identity."""

from __future__ import annotations

import hmac
from uuid import UUID

import orjson
from scrip.identity.internal.v1 import identity_pb2, identity_pb2_grpc

from services.common.caller import Caller, caller
from services.common.encoding import Context, moment
from services.common.errors import DomainError, invalid_field
from services.common.ids import utc_now
from services.common.legacy_db import Database
from services.identity import encoding
from services.identity.audit.commands import record_audit
from services.identity.keys.secrets_at_rest import hash_secret
from services.identity.member_codes.member_codes import open_signed_code
from services.identity.members import queries as members
from services.identity.tools import Tools


class InternalHandlers(identity_pb2_grpc.IdentityInternalServiceServicer):
    """Implements IdentityInternalService."""

    def __init__(self, db: Database, tools: Tools) -> None:
        self._db = db
        self._vault = tools.vault
        self._logins = tools.logins
        self._issuer = tools.issuer
        hashes = tools.settings.service_secret_hashes
        self._secret_hashes = {name: bytes.fromhex(value) for name, value in hashes.items()}

    async def IssueServiceToken(
        self, request: identity_pb2.IssueServiceTokenRequest, context: Context
    ) -> identity_pb2.IssueServiceTokenResponse:
        """A token for a service that knows its secret."""
        kept = self._secret_hashes.get(request.service)
        if kept is None or not hmac.compare_digest(kept, hash_secret(request.secret)):
            raise DomainError("CREDENTIALS_NOT_VALID", "name or secret is wrong")
        token = self._issuer.issue_for_service(request.service)
        return identity_pb2.IssueServiceTokenResponse(token=token.value, expires_in=token.expires_in)

    async def BatchCheckSessions(
        self, request: identity_pb2.BatchCheckSessionsRequest, context: Context
    ) -> identity_pb2.BatchCheckSessionsResponse:
        """Which logins of some people are active."""
        reply = identity_pb2.BatchCheckSessionsResponse()
        for state in await self._logins.check_all(request.subject_ids):
            reply.found.add(version=state.version, status=state.status, session_ids=sorted(state.session_ids))
        return reply

    async def BatchResolveMemberCodes(
        self, request: identity_pb2.BatchResolveMemberCodesRequest, context: Context
    ) -> identity_pb2.BatchResolveMemberCodesResponse:
        """Whose these codes are: lasting ones by the database, signed ones by their signature."""
        opened = {code: open_signed_code(self._vault, code) for code in request.member_codes}
        signed = {code: found for code, found in opened.items() if found}
        lasting = opened.keys() - signed.keys()
        reply = identity_pb2.BatchResolveMemberCodesResponse()
        if lasting:
            owners = await self._db.read(members.resolve_member_codes, sorted(lasting))
            for code, member_id in owners.items():
                reply.members[code].member_id = str(member_id)
        if signed:
            ids = {found.member_id for found in signed.values()}
            active = await self._db.read(members.active_members, sorted(ids))
            for code, found in signed.items():
                if found.member_id in active:
                    reply.members[code].CopyFrom(encoding.signed_code(found))
        return reply

    async def RecordAudit(
        self, request: identity_pb2.RecordAuditRequest, context: Context
    ) -> identity_pb2.RecordAuditResponse:
        """Keeps another service's audit entry; none speaks for another."""
        if request.service != caller().subject:
            raise invalid_field("service", "must be the service that calls")
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
