"""What is measured, running: a stack, a second edge before an empty service, and the peer."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg

from bench import codes, edge, peer_database, world
from bench.children import BenchError, Children
from bench.world import World
from stack import envoy
from stack.ports import free_block
from stack.settings import read_settings
from stack.testing import INNER_PORTS, RunningStack, running_stack

SCRIP, EMPTY, PEER = "scrip", "empty_rpc", "fastapi_orm"
ALONE, SPREAD = "postgres_alone", "spread"
BENCH = "bench"
"""Among the processes: this one."""
NAMES = {
    SCRIP: "Scrip",
    EMPTY: "empty RPC, same edge",
    PEER: "FastAPI + async ORM",
    ALONE: "PostgreSQL alone",
    SPREAD: "many members",
}
CODES_SECONDS = 180.0


@dataclass
class Rig:
    """Where to send requests, which processes to look at, which databases to count in."""

    world: World
    world_file: Path
    ports: Mapping[str, int]
    """Port of REST by what serves it: SCRIP, EMPTY, PEER."""
    pids: Mapping[str, int]
    databases: Mapping[str, str]
    """libpq URLs: Scrip's four, the peer's one, and that of points' tables without points."""
    server: str
    """PostgreSQL's version."""
    turns: Mapping[str, Iterator[int]] = field(
        default_factory=lambda: {name: itertools.count(1) for name in (SCRIP, PEER)}
    )
    """Which discounts are claimed next; the first are those of `same_job`."""


@dataclass
class _Builder:
    stack: RunningStack
    folder: Path
    generous: Path
    children: Children
    pids: dict[str, int] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    def start_empty(self, token: str) -> None:
        """The empty service, and an Envoy of its own with the same configuration before it."""
        first = free_block(INNER_PORTS + 3)
        address, listen = first + INNER_PORTS, first + INNER_PORTS + 2
        identity = self.stack.endpoints.grpc["identity"]
        command = [sys.executable, "-m", "bench.empty", f"127.0.0.1:{listen}", identity]
        secret = json.loads(self.stack.folder.secrets.read_text())["service_secret_points"]
        given = {"SCRIP_REDIS_URL": self.stack.endpoints.redis_url, "SCRIP_SERVICE_SECRET": secret}
        self.pids["empty service"] = self.children.start("empty", command, given)
        settings = read_settings(
            base_port=first, edge_port=address, ops_port=address + 1, log_level="warning"
        )
        config = self.folder / "second-envoy.yaml"
        ports = {name: _port(target) for name, target in self.stack.endpoints.grpc.items()}
        edge.write_second(settings, self.generous, ports | {"points": listen}, config)
        self.pids["second envoy"] = self.children.start("second-envoy", envoy.command(settings, config))
        self._wait("second-envoy", address, "/v1/members/me/points", token)
        self.ports[EMPTY] = address

    def start_peer(self, database: str, token: str) -> None:
        """The peer."""
        port = free_block(1)
        jwks = f"{self.stack.endpoints.edge_url}/.well-known/jwks.json"
        command = [sys.executable, "-m", "bench.peers", str(port), database, jwks]
        self.pids["peer"] = self.children.start("peer", command)
        self._wait("peer", port, "/v1/members/me/points", token)
        self.ports[PEER] = port

    def _wait(self, name: str, port: int, path: str, token: str) -> None:
        self.children.wait_ready(name, lambda: _answers(port, path, token))


@contextmanager
def rig(folder: Path, *, stock: int, claimed: tuple[int, int], say: Callable[[str], None]) -> Iterator[Rig]:
    """Everything, started and filled; all of it is gone afterwards."""
    generous = folder / "envoy.yaml"
    edge.write_generous(generous)
    children = Children(folder)
    say("starting a stack")
    with running_stack(folder / "stack", edge_config=generous, env_identity=world.LIMITS) as stack:
        found, builder = stack.endpoints, _Builder(stack, folder, generous, children)
        server = _server(found.databases["points"])
        try:
            say(f"registering {world.MEMBERS} members")
            made = asyncio.run(
                world.create(found.edge_url, found.admin_user_name, found.admin_password, stock=stock)
            )
            say("making discounts")
            admin, (turns, discounts) = (found.admin_user_name, found.admin_password), claimed
            offers = world.offer_discounts(found.edge_url, *admin, made, turns=turns, discounts=discounts)
            made = asyncio.run(offers)
            peer_url = peer_database.create(found.databases["points"], made, stock=stock)
            codes.create(found.databases["promos"], made)
            alone_url = peer_database.create_alone(found.databases["points"], made)
            builder.ports[SCRIP] = _port(found.edge_url)
            builder.start_empty(made.members[0].token)
            builder.start_peer(peer_url, made.members[0].token)
            say("giving them points, here and at the peer")
            for name in (SCRIP, PEER):
                asyncio.run(world.give_points(f"http://127.0.0.1:{builder.ports[name]}", made))
            say("waiting for the codes")
            codes_made(found.databases["promos"])
            made.write(folder / "world.json")
            yield Rig(
                made,
                folder / "world.json",
                builder.ports,
                builder.pids | stack_pids(stack),
                dict(found.databases) | {PEER: peer_url, ALONE: alone_url},
                server,
            )
        finally:
            children.stop()


def stack_pids(stack: RunningStack) -> dict[str, int]:
    """Returns the processes of a stack, and that of the benchmark itself."""
    names = ["envoy", "postgres", "redis", *stack.endpoints.workers.values()]
    names += [name for found in stack.endpoints.processes.values() for name in found]
    pids = {name: pid for name in names if (pid := stack.pid(name)) is not None}
    if len(pids) < len(names):
        raise BenchError(f"not all of {', '.join(names)} run")
    # The stack's own process collects the logs of all others.
    return pids | {"log collector": stack.supervisor.pid, BENCH: os.getpid()}


def _server(url: str) -> str:
    """PostgreSQL's version. Raises BenchError when COMMIT returns before it is safe on disk."""
    with psycopg.connect(url) as connection:
        said = {}
        for name in ("server_version", "fsync", "synchronous_commit", "full_page_writes"):
            row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
            assert row
            said[name] = row[0]
    if {said["fsync"], said["synchronous_commit"], said["full_page_writes"]} != {"on"}:
        raise BenchError(f"PostgreSQL is not set to keep what it commits: {said}")
    return f"PostgreSQL {said['server_version']}, fsync on"


def codes_made(promos_url: str, *, consents: int = world.MEMBERS) -> None:
    """Waits for the codes and the consents, so that neither falls into a measurement."""
    made = """
    SELECT NOT EXISTS (SELECT FROM code_sets WHERE made < wanted) AND EXISTS (SELECT FROM code_sets)
      AND (SELECT count(*) FROM member_consents) = %s
    """
    deadline = time.monotonic() + CODES_SECONDS
    with psycopg.connect(promos_url, autocommit=True) as connection:
        while (row := connection.execute(made, [consents]).fetchone()) != (True,):
            if time.monotonic() > deadline:
                raise BenchError(f"the codes were not made within {CODES_SECONDS:g} s: {row}")
            time.sleep(0.2)


def _answers(port: int, path: str, token: str) -> bool:
    try:
        answer = httpx.get(
            f"http://127.0.0.1:{port}{path}", headers={"authorization": f"Bearer {token}"}, timeout=2.0
        )
    except httpx.TransportError:
        return False
    return answer.is_success


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])
