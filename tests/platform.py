"""A whole running platform for tests: what an app, a till and a back office do to it over REST."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
import yaml
from google.rpc import code_pb2

from services.common.status import CODES
from stack.child import is_running
from stack.rest import item, receipt
from stack.testing import RunningStack, start_stack
from tests import invariants
from tests.edge.edge import committed, nodes_with
from tests.edge.refusals import in_json
from tests.waiting import eventually as eventually  # noqa: PLC0414  # handed on

T = TypeVar("T")
R = TypeVar("R")

CALL_SECONDS = 20.0
CONNECTIONS = 250
MEMBERS_AT_ONCE = 20
WIN_SECONDS = 10.0
ORDER_SECONDS = 30.0
TRIES = 10
LARGEST_RECEIPT = 10**11
CENTS_PER_POINT = 1_000
_numbers = itertools.count(secrets.randbelow(5_000_000))

STATUS_OF_CODE = {
    3: (400, 413),
    4: (408,),
    5: (404,),
    6: (409,),
    7: (403,),
    8: (429,),
    9: (400,),
    10: (409,),
    14: (503,),
    16: (401,),
}
"""The HTTP statuses that each code of a refusal may have. INTERNAL never occurs."""

OURS_ALONE = (
    "traceback",
    'file "',
    ".py",
    "exception",
    "psycopg",
    "sqlalchemy",
    "sqlstate",
    "server closed",
    "insert into",
    "select ",
    "constraint",
    "relation ",
    "uq_",
    "ck_",
    "aiorpcerror",
    "grpc.aio",
    "statuscode.",
    "redis.exceptions",
    "upstream connect",
    "connection refused",
    "socket",
    "127.0.0.1",
    " object at 0x",
)
"""Texts of a driver or an interpreter, which no caller may ever read."""


@dataclass(frozen=True)
class Refusal:
    """A refused call over REST, found to have the shape of all refusals."""

    status: int
    reason: str
    body: dict[str, Any]
    headers: Mapping[str, str]

    @property
    def message(self) -> str:
        """Its text for people."""
        return str(self.body["message"])

    @property
    def metadata(self) -> dict[str, str]:
        """Its data for programs, beside the reason."""
        found: dict[str, str] = self.body["details"][0].get("metadata", {})
        return found

    @property
    def fields(self) -> list[str]:
        """The fields that are named as wrong."""
        return [violation["field"] for violation in self._detail("BadRequest").get("field_violations", [])]

    @property
    def retry_seconds(self) -> float:
        """After how many seconds to call again, as RetryInfo says; 0 when it does not."""
        return float(self._detail("RetryInfo").get("retry_delay", "0s").removesuffix("s"))

    def _detail(self, name: str) -> dict[str, Any]:
        wanted = f"type.googleapis.com/google.rpc.{name}"
        return next((d for d in self.body["details"] if d["@type"] == wanted), {})


def refusal(answer: httpx.Response) -> Refusal:
    """Reads a refusal: a google.rpc.Status with a documented reason, and nothing that is ours alone."""
    assert answer.status_code >= 400, f"not refused: {answer.text}"
    assert_discreet(answer.text)
    body = in_json(answer)
    reason = str(body["details"][0]["reason"])
    assert reason in CODES, f"{reason} is not documented"
    assert body["code"] == CODES[reason], f"{reason} is answered with {code_pb2.Code.Name(body['code'])}"
    assert answer.status_code in STATUS_OF_CODE[body["code"]], f"{answer.status_code} {answer.text}"
    refused = Refusal(answer.status_code, reason, body, answer.headers)
    if answer.status_code == 429:
        assert refused.retry_seconds >= 1
        assert answer.headers["retry-after"] == f"{refused.retry_seconds:g}"
    return refused


def assert_discreet(text: str) -> None:
    """Nothing of a stack trace, a driver or an address inside."""
    found = [word for word in OURS_ALONE if word in text.lower()]
    assert found == [], f"{found} in {text}"


@dataclass(frozen=True)
class Member:
    """A registered member with its tokens."""

    id: str
    code: str
    token: str
    phone: str
    refresh_token: str


@dataclass(frozen=True)
class Otp:
    """A one-time password for a number."""

    phone: str
    proof: dict[str, str]


class Platform:
    """A running stack, and calls to it through the edge."""

    def __init__(self, stack: RunningStack) -> None:
        self.stack = stack
        self.databases = stack.endpoints.databases
        self.admin = ""
        self.http = httpx.AsyncClient(
            base_url=stack.endpoints.edge_url,
            timeout=CALL_SECONDS,
            limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS),
        )

    async def __aenter__(self) -> Self:
        self.admin = await self.log_in_admin()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    @property
    def target(self) -> str:
        """The gRPC target of the edge."""
        return self.stack.endpoints.edge_url.removeprefix("http://")

    async def call(
        self, method: str, path: str, body: Any = None, *, token: str = "", key: str = ""
    ) -> httpx.Response:
        """Makes one call with a JSON body; returns the response."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        if key:
            headers["idempotency-key"] = key
        return await self.http.request(method, path, json=body, headers=headers)

    async def ok(self, method: str, path: str, body: Any = None, *, token: str = "", key: str = "") -> Any:
        """Returns the JSON of a call that must succeed, which is repeated while something is away."""
        answer = await self._repeated(method, path, body, token=token, key=key, statuses={429, 503})
        assert answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    async def refused(
        self, method: str, path: str, body: Any = None, *, token: str = "", key: str = ""
    ) -> Refusal:
        """Returns the refusal of a call that must be refused, and not for coming too fast for the edge."""
        return refusal(await self._repeated(method, path, body, token=token, key=key, statuses={429}))

    async def _repeated(
        self, method: str, path: str, body: Any, *, token: str, key: str, statuses: Collection[int]
    ) -> httpx.Response:
        """Repeats a call as apps must, while its status is one of these; a limit of a service is final."""
        answer = await self.call(method, path, body, token=token, key=key)
        for _ in range(TRIES - 1):
            if answer.status_code not in statuses:
                break
            why = refusal(answer)
            if why.status == 429 and why.metadata.get("limit") != "edge_requests":
                break
            await asyncio.sleep(why.retry_seconds or 1)
            answer = await self.call(method, path, body, token=token, key=key)
        return answer

    async def kill(self, name: str) -> int:
        """Kills a process and waits until it has ended; the stack starts it again a moment later."""
        pid = self.stack.kill(name)
        await asyncio.to_thread(_wait_ended, pid)
        return pid

    async def log_in_admin(self) -> str:
        """Returns a token of the first admin."""
        endpoints = self.stack.endpoints
        password = {"user_name": endpoints.admin_user_name, "password": endpoints.admin_password}
        return str((await self.ok("POST", "/v1/sessions", {"password": password}))["token"]["access_token"])

    async def till(self) -> str:
        """Returns the token of a new till."""
        till = await self.ok("POST", "/v1/clients", {"display_name": f"Till {unique()}"}, token=self.admin)
        form = {
            "grant_type": "client_credentials",
            "client_id": till["client"]["id"],
            "client_secret": till["client_secret"],
        }
        answer = await self.http.post("/v1/oauth/token", data=form)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    async def otp(self, phone: str = "", purpose: str = "REGISTER") -> Otp:
        """Returns a one-time password, read from the sandbox; for a new number when none is given."""
        phone = phone or new_phone()
        asked = {"phone": phone, "purpose": f"OTP_PURPOSE_{purpose}"}
        sent = await self.ok("POST", "/v1/otps", asked)
        read = await self.ok("GET", f"/v1/sandbox/otps/{sent['otp_id']}", token=self.admin)
        return Otp(phone, {"otp_id": sent["otp_id"], "code": read["code"]})

    async def proof(self, phone: str) -> dict[str, Any]:
        """Returns a fresh proof of the member with this number, for one change of a way in."""
        return {"otp": (await self.otp(phone, "STEP_UP")).proof}

    async def close(self, member: Member) -> None:
        """Closes the member's account."""
        body = {"confirm": True, "proof": await self.proof(member.phone)}
        await self.ok("POST", "/v1/members/me:close", body, token=member.token)

    async def member(self, otp: Otp | None = None) -> Member:
        """Returns a new member."""
        otp = otp or await self.otp()
        made = await self.ok("POST", "/v1/members", {"otp": otp.proof, "full_name": "Ada Lovelace"})
        token, refresh = made["token"]["access_token"], made["token"]["refresh_token"]
        code = (await self.ok("GET", "/v1/members/me/code", token=token))["member_code"]
        return Member(made["member"]["id"], code, token, otp.phone, refresh)

    async def members(self, count: int) -> list[Member]:
        """New members, some at a time."""
        return await limited(MEMBERS_AT_ONCE, (self.member for _ in range(count)))

    async def voucher(self, quantity: int, points: int = 500, **other: Any) -> str:
        """Returns the id of a new voucher that costs so many points."""
        wanted = {
            "title": f"Coupon {unique()}",
            "face_value": {"currency_code": "USD", "amount_minor": "500"},
            "price_points": points,
            "quantity": quantity,
        }
        made = await self.ok("POST", "/v1/vouchers", wanted | other, token=self.admin, key=unique())
        return str(made["voucher"]["id"])

    async def campaign(self, places: int) -> str:
        """Returns the id of a new campaign for first logins."""
        wanted = {"name": f"First {places}", "places": places, "benefit": {"percent_off": 30}}
        made = await self.ok("POST", "/v1/campaigns", wanted, token=self.admin, key=unique())
        return str(made["campaign"]["id"])

    async def give(self, till: str, member: Member, points: int) -> None:
        """Lets the member shop until it has so many points more."""
        while points > 0:
            some = min(points, LARGEST_RECEIPT // CENTS_PER_POINT)
            await self.ok("POST", "/v1/purchases", purchase(member, some * CENTS_PER_POINT), token=till)
            points -= some

    async def balance(self, member: Member) -> int:
        """Returns the member's points as it sees them."""
        return int((await self.ok("GET", "/v1/members/me/points", token=member.token))["balance"])

    async def order(self, member: Member, voucher_id: str, key: str = "") -> httpx.Response:
        """Orders one voucher; returns the response."""
        body = {"voucher_id": voucher_id}
        return await self.call("POST", "/v1/members/me/orders", body, token=member.token, key=key or unique())

    async def completed(self, member: Member, voucher_id: str, key: str) -> dict[str, Any]:
        """Returns an order that must complete, asked for with its key until it has.

        The first order for a new voucher waits for its codes, which a worker takes to promos. Workers start
        after servers, and on a busy machine that can take longer than PlaceOrder waits.
        """

        async def done() -> dict[str, Any]:
            answer = await self.order(member, voucher_id, key)
            assert answer.status_code == 200, answer.text
            order: dict[str, Any] = answer.json()["order"]
            assert order["state"] == "ORDER_STATE_COMPLETED", order
            return order

        return await eventually(done, ORDER_SECONDS)

    async def bought(self, member: Member, voucher_id: str) -> dict[str, Any]:
        """Returns the member's wallet voucher after an order that must complete."""
        order = await self.completed(member, voucher_id, unique())
        path = f"/v1/members/me/vouchers/{order['wallet_voucher_id']}"
        found: dict[str, Any] = (await self.ok("GET", path, token=member.token))["voucher"]
        return found

    async def rewards(self, member: Member) -> list[dict[str, Any]]:
        """Returns what the member has won, as soon as it has won something."""

        async def won() -> list[dict[str, Any]]:
            mine = await self.ok("GET", "/v1/members/me/rewards", token=member.token)
            assert mine["rewards"]
            found: list[dict[str, Any]] = mine["rewards"]
            return found

        return await eventually(won, WIN_SECONDS)

    async def at_rest(self, seconds: float) -> None:
        """Waits until all that must happen later has happened."""

        async def nothing_waits() -> None:
            invariants.check_jobs(self.databases)

        await eventually(nothing_waits, seconds)

    async def winners(self, campaign_id: str) -> list[dict[str, Any]]:
        """Everybody who won a place, by rank."""
        found: list[dict[str, Any]] = []
        path = f"/v1/campaigns/{campaign_id}/winners?page_size=200"
        page = await self.ok("GET", path, token=self.admin)
        found += page["winners"]
        while page["next_page_token"]:
            page = await self.ok("GET", f"{path}&page_token={page['next_page_token']}", token=self.admin)
            found += page["winners"]
        return found


def start_platform(folder: Path, identity: Mapping[str, str] | None = None, **settings: Any) -> RunningStack:
    """Returns a stack with hardly any limit on one-time passwords, registrations and calls per address.

    Staff may have ten logins, so that one test does not log another's admin out. All else is as committed,
    the limits of members and tills too. `identity` is more environment of identity.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = committed()
    (limiter,) = nodes_with(config, "descriptors")
    for limit in limiter["descriptors"]:
        if limit["entries"][0]["value"] in ("nobody", "admin"):  # a test run is one address and one admin
            limit["token_bucket"] = {"max_tokens": 10**6, "tokens_per_fill": 10**6, "fill_interval": "1s"}
    edge = folder / "edge.yaml"
    edge.write_text(yaml.safe_dump(config))
    of_identity = {
        "SCRIP_OTP_SENDS_PER_ADDRESS": "1000000",
        "SCRIP_REGISTRATIONS_PER_ADDRESS": "1000000",
        "SCRIP_STAFF_SESSIONS": "10",
        "SCRIP_PASSWORD_MEMORY_KIB": "19456",
    }
    of_identity |= identity or {}
    slow = {"SCRIP_REDIS_SECONDS": "0.1"}  # a test run is a busy machine
    return start_stack(folder / "data", slow, edge_config=edge, env_identity=of_identity, **settings)


def _wait_ended(pid: int) -> None:
    while is_running(pid):
        time.sleep(0.002)


def purchase(member: Member, cents: int, number: str = "") -> dict[str, Any]:
    """Returns a receipt of one line, sold now."""
    now = datetime.now(UTC).isoformat()
    quantity = max(1, -(-cents // 10**10))  # the price of one piece has a limit of its own
    assert cents % quantity == 0
    line = item("300", "Bicycle", cents // quantity, quantity=quantity)
    return receipt(member.code, number or f"R-{unique()}", now, line)


def unique() -> str:
    """Returns a short text that nobody used before."""
    return secrets.token_hex(6)


def new_phone() -> str:
    """Returns a phone number in E.164 form that no other test has."""
    return f"+1415{2_000_000 + next(_numbers) % 8_000_000:07d}"


async def limited(at_once: int, calls: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    """Returns the results of many calls, so many of them under way at a time."""
    slots = asyncio.Semaphore(at_once)

    async def one(call: Callable[[], Awaitable[T]]) -> T:
        async with slots:
            return await call()

    return await asyncio.gather(*(one(call) for call in calls))


async def at_once(calls: Sequence[Awaitable[R]]) -> list[R]:
    """Returns the results of calls that all start together."""
    return await asyncio.gather(*calls)
