"""A points service that kills itself before the statement of one's choice.

`python -m services.points.tests.dying <socket>` imports everything once, and forks a child for each line
that it reads. A child composes the service, connects to the socket, sends its port, and then does what it is
asked there. What counts as a statement: each one that is sent, COMMIT among them, and the moment after the
last, when the connection goes back to the pool.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import orjson
import psycopg

from services.common.channels import open_channel
from services.common.pool import Pool
from services.common.server import RunningService
from services.points.adjustments import Importer
from services.points.earning import rule_book
from services.points.ledger import expire_due
from services.points.parts import build
from services.points.server import compose
from services.points.settings import Settings
from services.points.tests.manager import ROOT, environment
from services.points.tests.own_service import OwnService

_READY_SECONDS = 90
_STATEMENTS: tuple[tuple[type[Any], str], ...] = ((psycopg.AsyncCursor, "execute"), (Pool, "release"))


class DiedError(Exception):
    """The process is gone."""


@dataclass
class _Clock:
    """Counts down to the end."""

    left: int = 0

    def watch(self, owner: type[Any], name: str) -> None:
        """Has each call of a method tick before it begins."""
        watched = getattr(owner, name)

        async def counted(*args: Any, **kwargs: Any) -> Any:
            self.tick()
            return await watched(*args, **kwargs)

        setattr(owner, name, counted)

    def tick(self) -> None:
        """Another statement is about to begin."""
        if self.left:
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), signal.SIGKILL)


async def _live(socket: str) -> None:
    settings = Settings().model_copy(update={"listen": "127.0.0.1:0"})  # type: ignore[call-arg]  # environment
    rule_book._REFRESH_SECONDS = 3_600.0  # nothing but the write under test sends statements
    clock = _Clock()
    for owner, name in _STATEMENTS:
        clock.watch(owner, name)
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(build(settings))
        service = await stack.enter_async_context(compose(settings))
        running = RunningService(replace(service, checks=()), settings)
        port = await running.start()
        while not all([await check() for check in service.checks]):  # noqa: ASYNC110  # there is no event
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_unix_connection(socket)
        writer.write(b"%d\n" % port)
        while line := await reader.readline():
            words = orjson.loads(line)
            if "die" in words:
                clock.left = words["die"]
            if "run_import" in words:
                await Importer(parts.db, parts.balances, parts.programme).run(words["run_import"])
            if "expire" in words:
                await expire_due(parts.db, parts.balances.void)
            writer.write(b"done\n")
        os._exit(0)


def _serve(socket: str) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in sys.stdin:
        if os.fork() == 0:
            asyncio.run(_live(socket))


@dataclass
class Mortal:
    """A child of that process, as a test sees it."""

    channel: grpc.aio.Channel
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def command(self, **words: object) -> None:
        """Has it do something. Raises DiedError when it died of that."""
        self.writer.write(orjson.dumps(words) + b"\n")
        try:
            done = await self.reader.readline()
        except ConnectionError:
            done = b""
        if not done:
            raise DiedError

    async def died(self) -> None:
        """Returns when it is gone."""
        try:
            assert await self.reader.read() == b""
        except ConnectionError:
            return

    async def close(self) -> None:
        """Lets it end."""
        await self.channel.close()
        self.writer.close()


class Mortals:
    """Children, some of which are always ready."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._ready: asyncio.Queue[Mortal] = asyncio.Queue()
        self._all: list[Mortal] = []
        self._numbers = itertools.count()

    async def born(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A child reports that it is ready."""
        port = int(await reader.readline())
        mortal = Mortal(open_channel(f"ipv4:127.0.0.1:{port}"), reader, writer)
        self._all.append(mortal)
        self._ready.put_nowait(mortal)

    def order(self) -> None:
        """Has one more made."""
        assert self._process.stdin
        self._process.stdin.write(b"\n")

    async def next(self) -> Mortal:
        """Returns a child that is ready; another one takes its place."""
        self.order()
        async with asyncio.timeout(_READY_SECONDS):
            return await self._ready.get()

    async def close(self) -> None:
        """Lets all end."""
        for mortal in self._all:
            await mortal.close()


@asynccontextmanager
async def mortals(own: OwnService, folder: Path, *, ahead: int) -> AsyncIterator[Mortals]:
    """Processes of points on this service's database, `ahead` of them ready beside the one in use."""
    socket = str(folder / "control")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.points.tests.dying",
        socket,
        cwd=ROOT,
        env=environment(own),
        stdin=asyncio.subprocess.PIPE,
    )
    made = Mortals(process)
    server = await asyncio.start_unix_server(made.born, socket)
    try:
        for _ in range(ahead):
            made.order()
        yield made
    finally:
        assert process.stdin
        process.stdin.close()
        await process.wait()
        await made.close()
        server.close()
        await server.wait_closed()


if __name__ == "__main__":
    _serve(sys.argv[1])
