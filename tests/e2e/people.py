"""Members and staff as their apps know identity: what several tests do with them over REST."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.common.db import Database
from services.identity.accounts import Recipient
from services.identity.messages import MessageSender
from services.identity.otp.commands import send_otp
from stack.testing import RunningStack
from tests import invariants
from tests.e2e.tokens import stack_vault
from tests.platform import Otp, Platform, at_once, refusal, unique

PASSWORD = "a zebra counts backwards"
SECOND = 1.0
"""After so long at most, no service takes a login for active that has ended."""
EACH_SERVICE = (
    "/v1/members/me",
    "/v1/members/me/points",
    "/v1/members/me/vouchers",
    "/v1/members/me/rewards",
)
STAFF_PATHS = ("/v1/members?page_size=1", "/v1/vouchers?page_size=1", "/v1/campaigns?page_size=1")
"""What managers may read, at three services."""
WELCOME = {"welcome"}


@dataclass(frozen=True)
class Login:
    """The tokens of a login, and the device that it was made on."""

    access: str
    refresh: str
    device: str = ""


@dataclass(frozen=True)
class Staff:
    """One of the staff, logged in."""

    id: str
    user_name: str
    token: str


def login_of(answer: Any, device: str = "") -> Login:
    """Returns the tokens in a response."""
    return Login(answer["token"]["access_token"], answer["token"]["refresh_token"], device)


def new_name() -> str:
    """Returns a user name that nobody has."""
    return f"name-{unique()}"


async def register(live: Platform, **fields: Any) -> tuple[dict[str, Any], Login]:
    """Returns a new member and its login; by user name and password when nothing else is given."""
    wanted = {"full_name": "Grace Hopper", "password": PASSWORD} | fields
    if not {"otp", "user_name", "email"} & wanted.keys():
        wanted["user_name"] = new_name()
    made = await live.ok("POST", "/v1/members", wanted)
    return made["member"], login_of(made, fields.get("device_id", ""))


async def log_in(live: Platform, name: str, password: str = PASSWORD, device: str = "") -> Login:
    """Returns a login by password."""
    credentials = {"password": {"user_name": name, "password": password}, "device_id": device}
    return login_of(await live.ok("POST", "/v1/sessions", credentials), device)


async def log_in_with(live: Platform, proof: dict[str, str], device: str = "") -> Login:
    """Returns a login by one-time password."""
    return login_of(await live.ok("POST", "/v1/sessions", {"otp": proof, "device_id": device}), device)


async def log_in_by_phone(live: Platform, phone: str, device: str = "") -> Login:
    """Returns a login by a one-time password sent to this number."""
    return await log_in_with(live, (await live.otp(phone, "LOG_IN")).proof, device)


async def refresh(live: Platform, login: Login) -> Login:
    """Returns the next tokens of a login."""
    return login_of(await live.ok("POST", "/v1/sessions:refresh", refreshing(login)), login.device)


async def refresh_refused(live: Platform, login: Login) -> str:
    """Returns why there are no next tokens."""
    refused = await live.refused("POST", "/v1/sessions:refresh", refreshing(login))
    assert refused.status == (403 if refused.reason.startswith("ACCOUNT_") else 401)
    return refused.reason


def refreshing(login: Login) -> dict[str, str]:
    """Returns the body that asks for the next tokens."""
    return {"refresh_token": login.refresh, "device_id": login.device}


async def staff(live: Platform, role: str, **fields: str) -> Staff:
    """New staff of this role, such as MANAGER, logged in."""
    wanted = {"user_name": new_name(), "full_name": "Joan Clarke", "password": PASSWORD} | fields
    if role == "BRAND_MANAGER" and "brand_id" not in wanted:
        wanted["brand_id"] = await new_brand(live)
    made = await live.ok("POST", "/v1/staff", wanted | {"role": f"ROLE_{role}"}, token=live.admin)
    login = await log_in(live, wanted["user_name"], wanted["password"])
    return Staff(made["staff"]["id"], made["staff"]["user_name"], login.access)


async def new_brand(live: Platform) -> str:
    """Returns the id of a new brand."""
    named = {"name": f"Golden Crust {unique()}", "category": "Bakeries"}
    made = await live.ok("POST", "/v1/brands", named, token=live.admin, key=unique())
    return str(made["brand"]["brand"]["id"])


async def answers(live: Platform, token: str, paths: Sequence[str] = EACH_SERVICE) -> set[str]:
    """Returns how the services treat a token: the reasons of refusals, or `welcome`."""
    got = await at_once([live.call("GET", path, token=token) for path in paths])
    return {"welcome" if one.status_code == 200 else refusal(one).reason for one in got}


async def assert_refused(
    live: Platform, token: str, reason: str, since: float, paths: Sequence[str] = EACH_SERVICE
) -> None:
    """Asserts: a second after `since`, on the clock of `time.monotonic`, every service refuses a token."""
    await asyncio.sleep(max(0.0, since + SECOND - time.monotonic()))
    assert await answers(live, token, paths) == {reason}


async def made_otps(stack: RunningStack, phones: Sequence[str], purpose: str) -> list[Otp]:
    """Returns one-time passwords as SendOtp makes them, but not counted against its limits."""
    url, vault, sender = stack.endpoints.databases["identity"], stack_vault(stack), MessageSender.sandbox()
    database = Database(url, pool_size=1)
    name = f"OTP_PURPOSE_{purpose}"
    try:
        sent = [
            await database.run(send_otp, vault, sender, recipient=Recipient(phone), purpose=name)
            for phone in phones
        ]
    finally:
        await database.close()
    codes = {str(row["otp_id"]): row["code"] for row in invariants.rows(url, "TABLE sandbox_otps")}
    return [
        Otp(phone, {"otp_id": str(one.id), "code": codes[str(one.id)]})
        for phone, one in zip(phones, sent, strict=True)
    ]
