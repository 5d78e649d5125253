"""What every route needs: a session, and who calls."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated
from uuid import UUID

import jwt
from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.ext.asyncio import AsyncSession

_bearer = HTTPBearer()


async def open_session(request: Request) -> AsyncIterator[AsyncSession]:
    """A session for the time of a request."""
    async with request.app.state.sessions() as session:
        yield session


def _requires(role: str) -> Callable[..., Awaitable[UUID]]:
    async def check(
        request: Request, credentials: Annotated[HTTPAuthorizationCredentials, Depends(_bearer)]
    ) -> UUID:
        token = credentials.credentials
        try:
            key = request.app.state.keys[jwt.get_unverified_header(token)["kid"]]
            claims = jwt.decode(
                token,
                key,
                algorithms=["RS256"],
                audience="scrip",
                issuer="scrip",
                options={"require": ["exp", "iat", "sub", "aud", "iss"]},
            )
        except (jwt.PyJWTError, KeyError) as error:
            raise HTTPException(401, "the token is not valid") from error
        if claims["role"] != role:
            raise HTTPException(403, f"only a {role} may do this")
        return UUID(claims["sub"])

    return check


Session = Annotated[AsyncSession, Depends(open_session)]
Till = Annotated[UUID, Depends(_requires("till"))]
"""The id of the till that calls."""
Member = Annotated[UUID, Depends(_requires("member"))]
"""The id of the member who calls."""
