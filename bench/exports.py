"""A large set leaves as CSV: `python -m bench.exports` measures what other calls feel of it.

A set of a million codes is made over REST and then exported by a process of its own, which reads as fast as
it can. Idle, while codes are made, and beside the export, a member reads the own balance and a till verifies
a code, one call after the other with a little rest in between: what is measured is what one of them feels.
The file must hold every code and end in its marker line.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

import httpx

from bench import edge, world
from bench.children import BenchError
from bench.make_codes import made_by_scrip, milliseconds_of_reading
from bench.replay import Memory
from stack.rest import Rest
from stack.settings import ROOT
from stack.testing import RunningStack, running_stack

CODES, IDLE_CALLS = 1_000_000, 1_000
REST_SECONDS = 0.01
BALANCE, VERIFY = "GetBalance", "VerifyCode"


@dataclass(frozen=True)
class Exported:
    """A file as it arrived: its lines of codes, its last line, its size and how long it took."""

    codes: int
    last_line: str
    size: int
    seconds: float


def export(base_url: str, code_set_id: str, token: str) -> Exported:
    """Reads a set's codes as CSV, keeping nothing but the count and the last line."""
    began, lines, size, tail = time.perf_counter(), 0, 0, b""
    path = f"{base_url}/v1/code-sets/{code_set_id}/codes:export"
    headers = {"authorization": f"Bearer {token}"}
    with httpx.stream("GET", path, headers=headers, timeout=60) as response:
        response.raise_for_status()
        for piece in response.iter_bytes():
            lines, size, tail = lines + piece.count(b"\n"), size + len(piece), (tail + piece)[-100:]
    last = tail.decode().splitlines()[-1]
    return Exported(lines - 2, last, size, time.perf_counter() - began)  # without header and marker


@dataclass
class Times:
    """How long calls took in milliseconds, by call."""

    taken: dict[str, list[float]] = field(default_factory=lambda: {BALANCE: [], VERIFY: []})

    def at(self, call: str) -> tuple[float, float]:
        """Returns the median, and what 99 of 100 calls took at most."""
        return median(self.taken[call]), quantiles(self.taken[call], n=100)[98]


async def watch(calls: Mapping[str, Callable[[], Awaitable[float]]], done: Callable[[int], bool]) -> Times:
    """Makes the calls, each by a client of its own, until `done`, which is told how many were made."""
    times = Times()

    async def one(name: str, call: Callable[[], Awaitable[float]]) -> None:
        while not done(len(times.taken[name])):
            times.taken[name].append(await call())
            await asyncio.sleep(REST_SECONDS)

    await asyncio.gather(*(one(name, call) for name, call in calls.items()))
    return times


async def _run(stack: RunningStack, codes: int, pool: ProcessPoolExecutor) -> None:
    found, memory = stack.endpoints, Memory(stack, "promos")
    async with Rest(found.edge_url) as rest:
        admin = await rest.log_in_staff(found.admin_user_name, found.admin_password)
        till = await rest.create_till(admin, "Bench till")
        _, member = await rest.register(admin, "+14152000000", "Ada Lovelace")
        small = await made_by_scrip(rest, admin, 1)
        listed = await rest.ok("GET", f"/v1/code-sets/{small}/codes", token=admin)
        code = {"code": listed["codes"][0]["code"]}

        async def verify() -> float:
            began = time.perf_counter()
            await rest.ok("POST", "/v1/codes:verify", code, token=till)
            return (time.perf_counter() - began) * 1_000

        calls = {BALANCE: lambda: milliseconds_of_reading(rest, member), VERIFY: verify}
        await watch(calls, lambda made: made >= IDLE_CALLS // 10)  # warm
        idle = await watch(calls, lambda made: made >= IDLE_CALLS)
        making = asyncio.ensure_future(made_by_scrip(rest, admin, codes))
        beside_making = await watch(calls, lambda _: making.done())
        code_set_id = await making
        loop = asyncio.get_running_loop()
        exporting = loop.run_in_executor(pool, export, found.edge_url, code_set_id, admin)

        def looked(_: int) -> bool:
            memory.look()
            return exporting.done()

        beside_export = await watch(calls, looked)
        file = await exporting
    if file.codes != codes or file.last_line != f'"#end","{codes}"':
        raise BenchError(f"the file has {file.codes} codes and ends in {file.last_line!r}")
    print(
        f"{codes:,} codes left in {file.seconds:.0f} s ({codes / file.seconds:,.0f}/s,"
        f" {file.size / file.seconds / 2**20:.1f} MiB/s); promos had {memory.most / 2**20:.0f} MiB at most"
    )
    print("| p50 / p99 in ms | idle | beside making | beside the export | p99, times idle |")
    print("|---|---|---|---|---|")
    for name in calls:
        (p50, p99), made, exported = idle.at(name), beside_making.at(name), beside_export.at(name)
        print(
            f"| {name} | {p50:.1f} / {p99:.1f} | {made[0]:.1f} / {made[1]:.1f}"
            f" | {exported[0]:.1f} / {exported[1]:.1f}"
            f" | {made[1] / p99:.1f} making, {exported[1] / p99:.1f} exporting |"
        )


def main() -> None:
    """Makes and exports a set on a stack of its own."""
    parser = argparse.ArgumentParser(prog="python -m bench.exports", description=__doc__)
    parser.add_argument("--codes", type=int, default=CODES, help=f"in the set, {CODES:,} by default")
    codes: int = parser.parse_args().codes
    (ROOT / "build").mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="exports-", dir=ROOT / "build") as folder,
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool,
    ):
        generous = Path(folder) / "envoy.yaml"
        edge.write_generous(generous)
        with running_stack(Path(folder) / "stack", edge_config=generous, env_identity=world.LIMITS) as stack:
            try:
                asyncio.run(_run(stack, codes, pool))
            except BenchError as error:
                print(f"exports: {error}", file=sys.stderr)
                raise SystemExit(1) from None


if __name__ == "__main__":
    main()
