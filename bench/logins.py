"""What a login costs and whom.

Three questions: how long a service takes to verify a token, how GetMe over REST compares with an empty
authenticated RPC, and how much longer GetMe takes while others log in by password.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from bench.children import BenchError
from bench.logins_loader import Plan, Sent
from bench.measure import Effort, Say
from bench.rig import EMPTY, SCRIP, Rig
from services.common.auth import ISSUER, PUBLIC_AUDIENCE, TOKEN_TYPE, KeyRing, TokenVerifier
from services.common.ids import new_id
from stack.settings import ROOT

WARM_US, EMPTY_PART, AIM_PART, P99_TIMES = 20.0, 0.5, 0.7, 3.0
"""What is to be reached: a warm verification, GetMe's part of the empty RPC, its p99 amid logins."""

CROWD, FEW = 64, 4
"""Clients when throughput is measured, and when latency is."""
LOGGING_IN = 16
"""Clients that log in by password, each with an account of its own, as fast as they are let."""
PASSWORD = "a benchmark that counts backwards"  # noqa: S105  # of accounts that live for one run
COLD, WARM = 300, 50_000


@dataclass
class Found:
    """Medians of all rounds, but for verifying."""

    warm_us: float
    cold_us: float
    me: list[Sent] = field(default_factory=list)
    empty: list[Sent] = field(default_factory=list)
    alone: list[Sent] = field(default_factory=list)
    amid_logins: list[Sent] = field(default_factory=list)
    logins: list[Sent] = field(default_factory=list)

    @property
    def part_of_empty(self) -> float:
        """GetMe's throughput as a part of the empty RPC's."""
        return _per_second(self.me) / max(1.0, _per_second(self.empty))

    @property
    def times_slower(self) -> float:
        """GetMe's p99 amid logins as a multiple of what it is alone."""
        return _p99(self.amid_logins) / max(0.001, _p99(self.alone))

    @property
    def errors(self) -> int:
        """Requests without a good response."""
        sent = (*self.me, *self.empty, *self.alone, *self.amid_logins, *self.logins)
        return sum(sum(one.errors.values()) for one in sent)

    def lines(self) -> list[str]:
        """Returns the table for people."""
        token = (
            f"token verification: {self.warm_us:.1f} us warm ({_reached(self.warm_us <= WARM_US)}"
            f" {WARM_US:g}), {self.cold_us:.0f} us cold"
        )
        crowd = (
            f"GetMe over REST, {CROWD} clients: {_per_second(self.me):,.0f}/s,"
            f" {self.part_of_empty:.0%} of the empty RPC's {_per_second(self.empty):,.0f}/s"
            f" ({_reached(self.part_of_empty >= EMPTY_PART)} {EMPTY_PART:.0%},"
            f" {_reached(self.part_of_empty >= AIM_PART)} {AIM_PART:.0%})"
        )
        amid = (
            f"GetMe over REST, {FEW} clients: p99 {_p99(self.alone):.1f} ms alone,"
            f" {_p99(self.amid_logins):.1f} ms amid {_per_second(self.logins):.1f} logins/s:"
            f" {self.times_slower:.1f} times ({_reached(self.times_slower <= P99_TIMES)} {P99_TIMES:g})"
        )
        return [token, crowd, amid]

    def entries(self) -> list[dict[str, Any]]:
        """For programs: GetMe beside the empty RPC, and logins with what they do to GetMe."""
        verification = {"warm_us": round(self.warm_us, 2), "cold_us": round(self.cold_us, 1)}
        p99 = {"alone_ms": round(_p99(self.alone), 2), "amid_logins_ms": round(_p99(self.amid_logins), 2)}
        return [
            _entry("GetMe", CROWD, self.me)
            | {"vs": {EMPTY: round(self.part_of_empty, 3)}, "token_verification": verification},
            _entry("LogIn", LOGGING_IN, self.logins) | {"vs": {}, "get_me_p99": p99},
        ]


def measure(running: Rig, effort: Effort, say: Say) -> Found:
    """Measures all three, in turns where things are compared."""
    say("verifying tokens")
    found = Found(*asyncio.run(verification()))
    get_me = [_get("/v1/members/me", member.token) for member in running.world.members]
    get_nothing = [_get("/v1/members/me/points", member.token) for member in running.world.members]
    log_in = [_log_in(name) for name in _accounts(running.ports[SCRIP])]
    port = running.ports[SCRIP]
    me = Plan(port, get_me, '"full_name"', CROWD, effort.warm_up, effort.seconds)
    empty = Plan(running.ports[EMPTY], get_nothing, "{", CROWD, effort.warm_up, effort.seconds)
    few = replace(me, clients=FEW)
    storm = Plan(port, log_in, '"access_token"', LOGGING_IN, effort.warm_up, effort.seconds)
    for number in range(effort.rounds):
        say(f"GetMe and logins, round {number + 1}")
        found.me += _send(me)
        found.empty += _send(empty)
        found.alone += _send(few)
        amid_logins, logins = _send(few, storm)
        found.amid_logins.append(amid_logins)
        found.logins.append(logins)
    for sent in (*found.me, *found.empty, *found.amid_logins, *found.logins):
        for sample in sent.samples:
            say(f"  {sample}")
    return found


async def verification() -> tuple[float, float]:
    """Microseconds to verify a token that was seen before, and one that was not."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    jwk = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": "bench", "alg": "RS256"}

    async def fetch() -> Mapping[str, Any]:
        return {"keys": [jwk]}

    verifier = TokenVerifier(KeyRing(fetch))
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": PUBLIC_AUDIENCE, "role": "member", "iat": now, "exp": now + 3_600}
    headers = {"kid": "bench", "typ": TOKEN_TYPE}
    tokens = [
        jwt.encode(claims | {"sub": str(new_id()), "sid": str(new_id())}, key, "RS256", headers)
        for _ in range(COLD)
    ]
    await verifier.verify(tokens[0], PUBLIC_AUDIENCE)
    began = time.perf_counter()
    for token in tokens[1:]:
        await verifier.verify(token, PUBLIC_AUDIENCE)
    cold = time.perf_counter() - began
    # Each as a call brings it: equal to the one before, and not the same object.
    copies = [(tokens[number % COLD] + " ")[:-1] for number in range(WARM)]
    began = time.perf_counter()
    for copy in copies:
        await verifier.verify(copy, PUBLIC_AUDIENCE)
    warm = time.perf_counter() - began
    return warm / WARM * 1e6, cold / (COLD - 1) * 1e6


def _accounts(port: int) -> list[str]:
    """Makes members who log in by password, and returns their user names."""
    names = [f"bench-{new_id()}" for _ in range(LOGGING_IN)]
    for name in names:
        body = {"full_name": "Bench", "user_name": name, "password": PASSWORD}
        answer = httpx.post(f"http://127.0.0.1:{port}/v1/members", json=body, timeout=10.0)
        if not answer.is_success:
            raise BenchError(f"a member could not register: {answer.text}")
    return names


def _send(*plans: Plan) -> list[Sent]:
    """Runs a load generator for each plan at once."""
    command = [sys.executable, "-m", "bench.logins_loader"]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) for _ in plans
    ]
    for plan, process in zip(plans, running, strict=True):
        assert process.stdin
        process.stdin.write(json.dumps(asdict(plan)).encode())
        process.stdin.close()
    found = []
    for process in running:
        assert process.stdout
        words = process.stdout.read()
        if process.wait() != 0:
            raise BenchError("a load generator failed")
        found.append(Sent(**json.loads(words)))
    return found


def _get(path: str, token: str) -> str:
    return f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n\r\n"


def _log_in(name: str) -> str:
    body = json.dumps({"password": {"user_name": name, "password": PASSWORD}})
    return (
        "POST /v1/sessions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n{body}"
    )


def _entry(scenario: str, clients: int, sent: list[Sent]) -> dict[str, Any]:
    return {
        "scenario": scenario,
        "clients": clients,
        "per_second": round(_per_second(sent), 1),
        "p50_ms": round(median(one.p50_ms for one in sent), 2),
        "p99_ms": round(_p99(sent), 2),
        "errors": sum(sum(one.errors.values()) for one in sent),
    }


def _per_second(sent: list[Sent]) -> float:
    return median(one.per_second for one in sent)


def _p99(sent: list[Sent]) -> float:
    return median(one.p99_ms for one in sent)


def _reached(yes: bool) -> str:
    return "reached:" if yes else "missed:"
