"""Refresh tokens of browsers, in a cookie that no script can read and no other site can have sent.

The cookie holds the login's device too, so that what is bound to a device is bound to the browser, and its
tabs are one device.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from dataclasses import dataclass

from scrip.identity.v1 import auth_pb2

from services.common.encoding import Context
from services.common.errors import DomainError, invalid_field

NAME = "scrip_refresh"
PATH = "/v1/sessions:refresh"
"""The only call that needs it. Browsers match paths at slashes, so `/v1/sessions` would not include it."""


@dataclass(frozen=True)
class RefreshCookie:
    """What the cookie holds."""

    refresh_token: str
    device_id: str


class RefreshCookies:
    """Sets, reads and removes the cookie. `secure` keeps browsers from sending it without TLS."""

    def __init__(self, *, secure: bool) -> None:
        self._attributes = f"Path={PATH}; HttpOnly; SameSite=Strict" + ("; Secure" if secure else "")

    def device(self, context: Context, device_id: str) -> str:
        """Returns the device of a login by cookie: as it is named, or a random one.

        Raises VALIDATION_FAILED for a page of another site, which must not log anybody in.
        """
        _require_own_site(context)
        return device_id or secrets.token_urlsafe(16)

    async def hand_over(self, context: Context, token: auth_pb2.AccessToken, device_id: str) -> None:
        """Takes the refresh token out of a response and sends it as the cookie."""
        device = base64.urlsafe_b64encode(device_id.encode()).rstrip(b"=").decode()
        await self._set(context, f"{token.refresh_token}.{device}", token.refresh_expires_in)
        token.ClearField("refresh_token")

    async def remove(self, context: Context) -> None:
        """Has the browser forget the cookie."""
        await self._set(context, "", 0)

    def read(self, context: Context) -> RefreshCookie:
        """Returns what the browser sent. Raises REFRESH_TOKEN_NOT_VALID, also when there is no cookie."""
        _require_own_site(context)
        refresh_token, _, device = _sent(context).partition(".")
        try:
            device_id = base64.b64decode(device + "=" * (-len(device) % 4), b"-_", validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            refresh_token = device_id = ""
        if not refresh_token:
            raise DomainError("REFRESH_TOKEN_NOT_VALID", "there is no refresh token, and no cookie with one")
        return RefreshCookie(refresh_token, device_id)

    async def _set(self, context: Context, value: str, seconds: int) -> None:
        cookie = f"{NAME}={value}; Max-Age={seconds}; {self._attributes}"
        await context.send_initial_metadata((("set-cookie", cookie), ("cache-control", "no-store")))


def _sent(context: Context) -> str:
    """Returns the cookie's value, empty when there is none. HTTP/2 may send cookies as several headers."""
    for key, header in context.invocation_metadata() or ():
        if key == "cookie" and isinstance(header, str):
            for pair in header.split(";"):
                name, _, value = pair.strip().partition("=")
                if name == NAME:
                    return value
    return ""


def _require_own_site(context: Context) -> None:
    """Browsers say of which site a page is. SameSite keeps the cookie home; this, others from setting it."""
    for key, value in context.invocation_metadata() or ():
        if key == "sec-fetch-site" and value == "cross-site":
            raise invalid_field("cookie", "is for pages of the same site alone")
