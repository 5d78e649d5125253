"""A small REST client for the demo, the sample data and the tests: calls, and nothing hidden."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

CALL_SECONDS = 15.0


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    content_type: str
    content: bytes

    @property
    def json(self) -> Any:
        """The body, which must be JSON."""
        return json.loads(self.content)

    @property
    def reason(self) -> str:
        """The reason of a refusal, or an empty text."""
        for detail in self.json.get("details", []):
            if detail.get("@type", "").endswith("google.rpc.ErrorInfo"):
                return str(detail["reason"])
        return ""


class RefusedError(Exception):
    """A call that had to succeed was refused."""


class Rest:
    """Calls Scrip as an app, a till or a back office does."""

    def __init__(self, base_url: str) -> None:
        self._client = httpx.AsyncClient(base_url=base_url, timeout=CALL_SECONDS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        token: str = "",
        key: str = "",
        form: Mapping[str, str] | None = None,
        png: bytes | None = None,
    ) -> Answer:
        """Makes one call: JSON body, form or PNG image, bearer token, idempotency key."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        if key:
            headers["idempotency-key"] = key
        if png:
            headers["content-type"] = "image/png"
        reply = await self._client.request(method, path, json=body, data=form, content=png, headers=headers)
        return Answer(reply.status_code, reply.headers.get("content-type", ""), reply.content)

    async def ok(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, token: str = "", key: str = ""
    ) -> Any:
        """Makes a call that must succeed; returns its JSON. Raises RefusedError."""
        answer = await self.call(method, path, body, token=token, key=key)
        if answer.status != httpx.codes.OK:
            raise RefusedError(f"{method} {path}: {answer.status} {answer.content.decode()}")
        return answer.json

    async def log_in_staff(self, user_name: str, password: str) -> str:
        """Returns a staff token."""
        credentials = {"password": {"user_name": user_name, "password": password}}
        return str((await self.ok("POST", "/v1/sessions", credentials))["token"]["access_token"])

    async def create_till(self, admin: str, name: str) -> str:
        """Returns a new till's token."""
        till = await self.ok("POST", "/v1/clients", {"display_name": name}, token=admin)
        return await self.client_token(till["client"]["id"], till["client_secret"])

    async def client_token(self, client_id: str, secret: str) -> str:
        """Returns a till's token, by OAuth client credentials."""
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
        answer = await self.call("POST", "/v1/oauth/token", form=form)
        if answer.status != httpx.codes.OK:
            raise RefusedError(answer.content.decode())
        return str(answer.json["access_token"])

    async def register(self, admin: str, phone: str, full_name: str) -> tuple[Any, str]:
        """Returns a new member and its token; the one-time password is read from the sandbox."""
        otp = await self.otp(admin, phone, "OTP_PURPOSE_REGISTER")
        reply = await self.ok("POST", "/v1/members", {"otp": otp, "full_name": full_name})
        return reply["member"], str(reply["token"]["access_token"])

    async def otp(self, admin: str, phone: str, purpose: str) -> dict[str, str]:
        """Returns a one-time password for this number, ready to be sent back."""
        sent = await self.ok("POST", "/v1/otps", {"phone": phone, "purpose": purpose})
        code = await self.ok("GET", f"/v1/sandbox/otps/{sent['otp_id']}", token=admin)
        return {"otp_id": sent["otp_id"], "code": code["code"]}


def random_phone() -> str:
    """Returns a made-up mobile number that nobody is likely to have registered."""
    return f"+1415{2_000_000 + secrets.randbelow(8_000_000):07d}"


def receipt(member_code: str, number: str, sold_at: str, *items: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a receipt in US dollars."""
    return {
        "member_code": member_code,
        "receipt_number": number,
        "sold_at": sold_at,
        "currency_code": "USD",
        "items": list(items),
    }


def item(
    sku: str, name: str, cents: int, *, quantity: int = 1, alcohol: bool = False, category: str = ""
) -> dict[str, Any]:
    """Returns a line of a receipt."""
    return {
        "sku": sku,
        "name": name,
        "category": category,
        "unit_price_minor": str(cents),
        "quantity": quantity,
        "alcohol": alcohol,
    }
