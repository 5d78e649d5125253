"""Renewing and ending logins, and which ones are active, for other services."""

from __future__ import annotations

from uuid import UUID

from scrip.identity.internal.v1 import identity_pb2
from scrip.identity.v1 import auth_pb2

from services.common.caller import caller
from services.common.encoding import Context
from services.identity.keys import Vault
from services.identity.sessions.commands.end_sessions import end_sessions
from services.identity.sessions.commands.refresh_session import refresh_session
from services.identity.sessions.encoding import session_token
from services.identity.sessions.logins import Logins
from services.identity.sessions.refresh_cookies import RefreshCookies
from services.identity.sessions.session_tokens import SessionTokens


class SessionHandlers:
    """What a person does with a login: a part of AuthService."""

    def __init__(self, logins: Logins, tokens: SessionTokens, vault: Vault, cookies: RefreshCookies) -> None:
        self._logins = logins
        self._tokens = tokens
        self._vault = vault
        self._cookies = cookies

    async def RefreshSession(
        self, request: auth_pb2.RefreshSessionRequest, context: Context
    ) -> auth_pb2.RefreshSessionResponse:
        """Returns new tokens for an old one, or for the cookie that holds one."""
        cookie = None if request.refresh_token else self._cookies.read(context)
        device_id = cookie.device_id if cookie else request.device_id
        tried = await self._logins.run(
            refresh_session,
            self._vault,
            refresh_token=cookie.refresh_token if cookie else request.refresh_token,
            device_id=device_id,
            shared=cookie is not None,
        )
        token = session_token(self._tokens.refreshed(tried.require()))
        if cookie:
            await self._cookies.hand_over(context, token, device_id)
        return auth_pb2.RefreshSessionResponse(token=token)

    async def LogOut(self, request: auth_pb2.LogOutRequest, context: Context) -> auth_pb2.LogOutResponse:
        """Ends this login, or all."""
        who = caller()
        only = None if request.everywhere else UUID(who.session_id)
        await self._logins.run(end_sessions, account_id=who.id, only=only)
        await self._cookies.remove(context)
        return auth_pb2.LogOutResponse()


class SessionCheckHandlers:
    """What other services ask about logins: a part of IdentityInternalService."""

    def __init__(self, logins: Logins) -> None:
        self._logins = logins

    async def BatchCheckSessions(
        self, request: identity_pb2.BatchCheckSessionsRequest, context: Context
    ) -> identity_pb2.BatchCheckSessionsResponse:
        """Returns which logins of some people are active."""
        reply = identity_pb2.BatchCheckSessionsResponse()
        for state in await self._logins.check_all(request.subject_ids):
            reply.found.add(version=state.version, status=state.status, session_ids=sorted(state.session_ids))
        return reply
