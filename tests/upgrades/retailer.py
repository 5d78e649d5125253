"""A platform whose one-time passwords go to a provider of SMS, and callers who repeat what they sent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from stack.testing import RunningStack
from tests.platform import Otp, Platform, new_phone, start_platform
from tests.upgrades.posted import SmsProvider

PASSWORD = "a zebra counts backwards"
SETTINGS = {
    "env_points": {"SCRIP_EXPIRE_MONTHS": "12", "SCRIP_TIME_ZONE": "Europe/Berlin"},
    "env_vouchers": {"SCRIP_ORDER_WAIT_SECONDS": "1"},
}
"""What the stack has otherwise than by default, when a dump is made and when it is upgraded."""
_MOVED = {"/v1/orders": "/v1/members/me/orders"}
"""Paths of calls in old dumps, and where they are now; vouchers were not settled then."""


class Retailer(Platform):
    """A running stack whose one-time passwords arrive by SMS."""

    def __init__(self, stack: RunningStack, sms: SmsProvider) -> None:
        super().__init__(stack)
        self.sms = sms

    async def otp(self, phone: str = "", purpose: str = "REGISTER") -> Otp:
        """Returns a one-time password that has arrived; for a new number when none is given."""
        phone = phone or new_phone()
        otp_id = await self.ask_for_otp(phone, purpose)
        return Otp(phone, {"otp_id": otp_id, "code": await self.sms.code(otp_id)})

    async def ask_for_otp(self, phone: str, purpose: str) -> str:
        """Returns the id of a one-time password that may arrive later."""
        asked = {"phone": phone, "purpose": f"OTP_PURPOSE_{purpose}"}
        return str((await self.ok("POST", "/v1/otps", asked))["otp_id"])

    async def send(self, token: str, call: Mapping[str, Any]) -> httpx.Response:
        """Sends a call that is kept in a dump: method, path, body (a text is CSV) and Idempotency-Key."""
        method, body, key = (call[name] for name in ("method", "body", "key"))
        path = present_path(call["path"])
        if not isinstance(body, str):
            return await self.call(method, path, body, token=token, key=key)
        headers = {"authorization": f"Bearer {token}", "idempotency-key": key, "content-type": "text/csv"}
        return await self.http.request(method, path, content=body.encode(), headers=headers)

    async def client_token(self, client_id: str, secret: str) -> httpx.Response:
        """Returns the response to a till that asks for a token."""
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
        return await self.http.post("/v1/oauth/token", data=form)

    async def log_in(self, user_name: str, password: str = PASSWORD) -> httpx.Response:
        """Returns the response to a login by password."""
        return await self.call(
            "POST", "/v1/sessions", {"password": {"user_name": user_name, "password": password}}
        )

    async def points_of(self, member_id: str) -> dict[str, Any]:
        """Balance and debt as staff see them, and whether the account is closed."""
        seen = await self.ok("GET", f"/v1/members/{member_id}/points", token=self.admin)
        return {name: seen[name] for name in ("balance", "debt", "closed")}


def present_path(path: str) -> str:
    """Returns the path today of a call that is kept in a dump."""
    return _MOVED.get(path, path)


def start_retailer(folder: Path, sms: SmsProvider) -> RunningStack:
    """Returns a stack that sends its one-time passwords to this provider."""
    return start_platform(folder, sms.settings, **SETTINGS)
