"""Members watch what is left of a voucher: `python -m bench.watchers` opens 2,000 streams at once.

It prints how much memory vouchers and Envoy need for them, and how long it takes until all of them have
seen a change. Every stream must see it.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench import edge, world
from bench.children import BenchError
from bench.report import machine
from stack.rest import Rest
from stack.settings import ROOT
from stack.status import memory_mib
from stack.testing import RunningStack, running_stack

WATCHERS = 2_000
AT_ONCE = 50
SEEN_SECONDS = 60.0
MOST_MIB = 100
"""What they may cost the service. Envoy needs as much again for their connections."""
_WATCHED = ("vouchers", "envoy")


@dataclass
class Stream:
    """A connection over which events arrive."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def sees(self, left: int) -> float:
        """Returns when this quantity has arrived."""
        wanted = b'{"quantity_left":%d}' % left
        async with asyncio.timeout(SEEN_SECONDS):
            while wanted not in await self.reader.readline():
                if self.reader.at_eof():
                    raise BenchError("a stream ended")
        return time.perf_counter()


async def watch(port: int, voucher_id: str, token: str) -> Stream:
    """Opens a stream."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"GET /v1/offers/{voucher_id}/quantity:watch HTTP/1.1\r\nhost: localhost:{port}\r\n"
        f"authorization: Bearer {token}\r\n\r\n".encode()
    )
    status = await reader.readline()
    if b" 200 " not in status:
        raise BenchError(f"a stream was refused: {status!r} {(await reader.read(2_000))!r}")
    return Stream(reader, writer)


def used(stack: RunningStack) -> dict[str, float]:
    """Returns the memory of the processes that serve streams, in MiB."""
    return {name: memory_mib(pid) for name in _WATCHED if (pid := stack.pid(name)) is not None}


async def measure(stack: RunningStack, watchers: int) -> None:
    """Opens the streams, changes the quantity, and prints. Raises BenchError when a stream saw nothing."""
    found = stack.endpoints
    port = int(found.edge_url.rpartition(":")[2])
    async with Rest(found.edge_url) as rest:
        admin = await rest.log_in_staff(found.admin_user_name, found.admin_password)
        _, token = await rest.register(admin, "+14152000000", "Ada Lovelace")
        voucher = {
            "title": "$5 off",
            "face_value": {"currency_code": "USD", "amount_minor": "500"},
            "price_points": 500,
            "quantity": 1_000,
        }
        made = await rest.ok("POST", "/v1/vouchers", voucher, token=admin, key=secrets.token_hex(4))
        voucher_id, etag = made["voucher"]["id"], made["voucher"]["etag"]
        warm = [await watch(port, voucher_id, token) for _ in range(AT_ONCE)]
        before, streams = used(stack), list(warm)
        while len(streams) < watchers + AT_ONCE:
            streams += await asyncio.gather(*(watch(port, voucher_id, token) for _ in range(AT_ONCE)))
        await asyncio.gather(*(stream.sees(1_000) for stream in streams))
        after = used(stack)
        change = {"quantity": 999, "etag": etag}
        began = time.perf_counter()
        seeing = [asyncio.ensure_future(stream.sees(999)) for stream in streams]
        await rest.ok("PATCH", f"/v1/vouchers/{voucher_id}", change, token=admin)
        seen = sorted(at - began for at in await asyncio.gather(*seeing))
        for stream in streams:
            stream.writer.close()
    print(f"{machine()}; {watchers:,} streams more than {AT_ONCE}")
    costs = {name: after[name] - before[name] for name in before}
    told = ", ".join(f"{name} {cost:.0f} MiB" for name, cost in costs.items())
    verdict = "within" if costs["vouchers"] <= MOST_MIB else "MORE THAN"
    print(f"they cost {told}: the service {verdict} {MOST_MIB} MiB")
    print(
        f"a change was seen by the first after {seen[0]:.2f} s, by half of them after"
        f" {seen[len(seen) // 2]:.2f} s, by the last after {seen[-1]:.2f} s"
    )


def main() -> int:
    """Reads the command line, measures, and returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.watchers", description=__doc__)
    parser.add_argument("--watchers", type=int, default=WATCHERS)
    options = parser.parse_args()
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="watchers-", dir=ROOT / "build") as name:
        folder = Path(name)
        config = folder / "edge.yaml"
        edge.write_generous(config)
        with running_stack(folder / "data", edge_config=config, env_identity=world.LIMITS) as stack:
            asyncio.run(measure(stack, options.watchers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
