"""The load generator counts what it gets, and nothing else."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bench.loader import Plan, Result, parse, percentile, run
from bench.wire import GET_BALANCE
from bench.world import World

GOOD = b'HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n{"balance":7}'
SECONDS = 0.3
Answer = Callable[[asyncio.StreamWriter, int], Awaitable[None]]


@asynccontextmanager
async def _server(answer: Answer) -> AsyncIterator[int]:
    """Serves the n-th request of all connections by `answer(writer, n)`; yields the port."""
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                count += 1
                await answer(writer, count)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _load(world: World, folder: Path, answer: Answer, *, clients: int = 2) -> Result:
    world.write(folder / "world.json")
    async with _server(answer) as port:
        plan = Plan(str(folder / "world.json"), GET_BALANCE, port, "run", clients, 0.0, SECONDS)
        return await run(plan)


async def test_good_answers_count_and_have_a_latency(world: World, tmp_path: Path) -> None:
    sent = 0

    async def slowly(writer: asyncio.StreamWriter, _: int) -> None:
        nonlocal sent
        await asyncio.sleep(0.01)
        writer.write(GOOD)
        sent += 1

    result = await _load(world, tmp_path, slowly)
    assert result.answered == sent
    assert result.errors == {}
    assert sent > 2
    measured = result.per_second * SECONDS
    assert sent - 2 <= round(measured) <= sent, "the last one of either client may end after the time"
    assert result.per_second <= 200
    assert result.p50_ms >= 10


async def test_an_answer_in_pieces_is_one_answer(world: World, tmp_path: Path) -> None:
    sent = 0

    async def in_pieces(writer: asyncio.StreamWriter, _: int) -> None:
        nonlocal sent
        sent += 1
        for part in (GOOD[:10], GOOD[10:45], GOOD[45:]):
            await asyncio.sleep(0.002)
            writer.write(part)
            await writer.drain()

    result = await _load(world, tmp_path, in_pieces)
    assert result.answered == sent > 0
    assert result.errors == {}


@pytest.mark.parametrize(
    "bad",
    [
        b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n",
        b'HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n{"answer":42}',
    ],
)
async def test_refusals_and_answers_without_the_expected_content_are_errors(
    world: World, tmp_path: Path, bad: bytes
) -> None:
    async def sometimes(writer: asyncio.StreamWriter, number: int) -> None:
        await asyncio.sleep(0.001)
        writer.write(bad if number == 3 else GOOD)

    result = await _load(world, tmp_path, sometimes)
    assert sum(result.errors.values()) == 1
    assert result.answered > 5


async def test_a_lost_connection_is_an_error_and_the_client_goes_on(world: World, tmp_path: Path) -> None:
    async def hang_up_once(writer: asyncio.StreamWriter, number: int) -> None:
        await asyncio.sleep(0.001)
        if number == 3:
            writer.close()
            raise ConnectionError
        writer.write(GOOD)

    result = await _load(world, tmp_path, hang_up_once, clients=1)
    assert result.errors == {"connection lost": 1}


def test_an_answer_is_complete_with_its_last_byte_or_chunk() -> None:
    assert parse(GOOD) == (b"200", b'{"balance":7}')
    assert all(parse(GOOD[:length]) is None for length in range(len(GOOD)))
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    assert parse(chunked) == (b"200", b"2\r\n{}\r\n0\r\n\r\n")
    assert parse(chunked[:-5]) is None


def test_percentiles_are_values_that_occurred() -> None:
    assert percentile([], 99) == 0
    assert percentile([5.0], 50) == 5
    hundred = [float(value) for value in range(1, 101)]
    assert (percentile(hundred, 50), percentile(hundred, 99)) == (50, 99)
