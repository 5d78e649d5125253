"""A service that kills itself before the statement of one's choice.

A module of a service calls `serve`; `python -m <that module> <socket>` then imports everything once, and
forks a child for each line that it reads. A child composes the service, connects to the socket, sends its
port, and then does what it is asked there. What counts as a statement: each one that may write, COMMIT among
them, the rows of a COPY, and the moment after the last, when the connection goes back to the pool. To die
before a read is to die before the write that follows it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import grpc
import orjson
import psycopg
from google.protobuf.message import Message
from psycopg.sql import Composable

from services.common.channels import open_channel
from services.common.pool import Pool
from services.common.server import RunningService, Service
from services.common.settings import ServiceSettings

_ROOT = Path(__file__).resolve().parents[1]
_READY_SECONDS = 90
_MOST_STATEMENTS = 90


@dataclass(frozen=True)
class Begun:
    """A service that was composed, and what its process does without a call, by name."""

    service: Service
    settings: ServiceSettings
    commands: Mapping[str, Callable[[Any], Awaitable[object]]]


@dataclass
class _Clock:
    """Counts down to the end."""

    left: int = 0
    written: set[object] = field(default_factory=set)
    """The connections that were written over since they were taken from the pool."""

    def watch(self) -> None:
        """Has each write tick before it begins, and when its connection goes back to the pool."""
        execute, copy, release = psycopg.AsyncCursor.execute, psycopg.AsyncCopy.write, Pool.release

        async def executed(cursor: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
            if not _is_read(query):
                self.tick(cursor.connection)
            return await execute(cursor, query, *args, **kwargs)

        async def copied(copying: Any, *args: Any) -> None:
            self.tick(copying.connection)
            await copy(copying, *args)

        async def released(pool: Any, connection: Any) -> None:
            if connection in self.written:
                self.tick(connection)
                self.written.discard(connection)
            await release(pool, connection)

        psycopg.AsyncCursor.execute = executed  # type: ignore[assignment]  # the process ends with the test
        psycopg.AsyncCopy.write = copied  # type: ignore[assignment,method-assign]
        Pool.release = released  # type: ignore[assignment,method-assign]

    def tick(self, connection: object) -> None:
        """Another statement is about to begin."""
        self.written.add(connection)
        if self.left:
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), signal.SIGKILL)


def _is_read(query: Any) -> bool:
    text = query.as_string(None) if isinstance(query, Composable) else query
    text = text.decode() if isinstance(text, bytes) else text
    # Jobs are queued by a function.
    return text.split(maxsplit=1)[0] in ("SELECT", "BEGIN") and "procrastinate" not in text


def serve(begin: Callable[[], AbstractAsyncContextManager[Begun]]) -> None:
    """Forks a child for each line of the standard input, until it ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in sys.stdin:
        if os.fork() == 0:
            asyncio.run(_live(sys.argv[1], begin))


async def _live(socket: str, begin: Callable[[], AbstractAsyncContextManager[Begun]]) -> None:
    clock = _Clock()
    clock.watch()
    async with begin() as begun:
        service = begun.service
        running = RunningService(replace(service, checks=()), begun.settings)
        port = await running.start()
        while not all([await check() for check in service.checks]):  # noqa: ASYNC110  # there is no event
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_unix_connection(socket)
        writer.write(b"%d\n" % port)
        while line := await reader.readline():
            for command, value in orjson.loads(line).items():
                if command == "die":
                    clock.left = value
                else:
                    await begun.commands[command](value)
            writer.write(b"done\n")
        os._exit(0)


class DiedError(Exception):
    """The process is gone."""


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
async def mortals(
    module: str, environment: Mapping[str, str], folder: Path, *, ahead: int = 3
) -> AsyncIterator[Mortals]:
    """Processes of a module that calls `serve`, `ahead` of them ready beside the one in use."""
    socket = str(folder / "control")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, socket, cwd=_ROOT, env=environment, stdin=asyncio.subprocess.PIPE
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


Call = Callable[[Any, Mortal], Awaitable[Any]]
"""Does a write: by a call of the service, as the test knows it, or in the process."""


class World(Protocol):
    """A service that lives, and processes of it that die."""

    mortals: Mortals
    immortal: Mortal

    def reached_by(self, channel: grpc.aio.Channel | None) -> Any:
        """Returns the service, as the test knows it, over this channel; the one that lives when None."""

    async def state(self) -> Sequence[int]:
        """Returns what there is: a number for each thing that a write may leave."""

    async def assert_sound(self) -> None:
        """What must hold at any moment."""

    async def assert_settled(self) -> None:
        """What must hold once the write was repeated."""


_NONE = object()


@dataclass
class Seen:
    """What a write left when a process died of it, and after it was repeated."""

    survived: bool
    half: tuple[int, ...]
    whole: tuple[int, ...]
    answer: Any


async def all_deaths(world: World, prepare: Callable[[], Awaitable[Call]]) -> list[Seen]:
    """Does a write in a process that dies before its first statement, then before the second, until one
    survives; each time it is repeated in one that lives.
    """
    seen: list[Seen] = []
    while not (seen and seen[-1].survived):
        assert len(seen) < _MOST_STATEMENTS
        seen.append(await _killed(world, await prepare(), len(seen) + 1))
    await world.assert_sound()
    return seen


async def _killed(world: World, call: Call, statement: int) -> Seen:
    first = _NONE
    before, mortal = await world.state(), await world.mortals.next()
    await mortal.command(die=statement)
    try:
        first = await call(world.reached_by(mortal.channel), mortal)
    except DiedError:
        pass
    except grpc.aio.AioRpcError as error:
        assert error.code() is grpc.StatusCode.UNAVAILABLE, error  # noqa: PT017  # or it survived
        await mortal.died()
    half = await world.state()
    await world.assert_sound()
    living = world.reached_by(None)
    answer = await call(living, world.immortal)
    whole = await world.state()
    again = await call(living, world.immortal)
    assert _content(again) == _content(answer)
    assert await world.state() == whole
    await world.assert_settled()
    if survived := first is not _NONE:
        assert _content(first) == _content(answer)
        assert half == whole
    await mortal.close()
    return Seen(survived, _more(before, half), _more(before, whole), answer)


def _content(answer: Any) -> Any:
    """Returns a reply byte for byte."""
    return answer.SerializeToString(deterministic=True) if isinstance(answer, Message) else answer


def _more(before: Sequence[int], after: Sequence[int]) -> tuple[int, ...]:
    return tuple(now - then for then, now in zip(before, after, strict=True))


def assert_all_or_nothing(seen: Sequence[Seen], *, in_steps: bool = False) -> None:
    """Each death left all of the write or nothing of it, and its repetition all, once.

    A write that is done `in_steps` may be half done by a death, but never by its repetition.
    """
    undisturbed = seen[-1]
    nothing = (0,) * len(undisturbed.whole)
    assert any(undisturbed.whole), "the write leaves nothing"
    for one in seen:
        assert one.whole == undisturbed.whole
        assert in_steps or one.half in (nothing, one.whole), one
    halves = [one.half for one in seen[:-1]]
    assert nothing in halves
    assert undisturbed.whole in halves, "none died after the commit"
