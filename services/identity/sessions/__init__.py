"""Sessions: logins from their opening to their end, and the refresh tokens that keep them going.

Owns the tables `sessions`, `refresh_tokens` and `session_epochs`. Every change that makes or ends a login is
run by `Logins.run`, which makes the end of a login known to all services within a second.
"""

from services.identity.sessions.commands.end_sessions import EndedSessions as EndedSessions
from services.identity.sessions.commands.end_sessions import end_sessions as end_sessions
from services.identity.sessions.commands.end_sessions import forget_devices as forget_devices
from services.identity.sessions.commands.end_sessions import forget_old_sessions as forget_old_sessions
from services.identity.sessions.commands.open_session import OpenedSession as OpenedSession
from services.identity.sessions.commands.open_session import open_session as open_session
from services.identity.sessions.logins import Logins as Logins
from services.identity.sessions.queries import session_state as session_state
from services.identity.sessions.refresh_cookies import RefreshCookies as RefreshCookies
from services.identity.sessions.session_tokens import SessionToken as SessionToken
from services.identity.sessions.session_tokens import SessionTokens as SessionTokens

__all__ = [
    "EndedSessions",
    "Logins",
    "OpenedSession",
    "RefreshCookies",
    "SessionToken",
    "SessionTokens",
    "end_sessions",
    "forget_devices",
    "forget_old_sessions",
    "open_session",
    "session_state",
]
