"""A network between vouchers and the services that it calls, which can be slow, or lose what is sent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

READ_SIZE = 64 * 1024


@dataclass(frozen=True)
class Weather:
    """What happens to what is sent: each piece is late, or all is lost from so many bytes on."""

    delay_seconds: float = 0.0
    loses_requests: bool = False
    loses_replies: bool = False
    bytes_before: int = 0


FINE = Weather()


@dataclass(eq=False)
class _Link:
    """One connection through the hop. What has lost a byte delivers none any more, not even its end."""

    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    lost: set[bool] = field(default_factory=set)
    passed: int = 0

    def close(self) -> None:
        for writer in self.writers:
            writer.close()


class Hop:
    """A port on loopback that leads to another. It runs in a thread, so that a busy test does not slow it."""

    def __init__(self, port: int, target: int) -> None:
        self.port = port
        self.weather = FINE
        self._target = target
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"hop-{port}", daemon=True)

    def start(self) -> None:
        """Takes connections from now on."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()

    def stop(self) -> None:
        """Closes everything."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @contextmanager
    def under(self, weather: Weather, *, heals: bool) -> Iterator[None]:
        """For so long the weather is another.

        Afterwards connections that lost something are cut if the hop `heals`; if not, they stay half open,
        and who uses them has to find that out.
        """
        self.weather = weather
        try:
            yield
        finally:
            self.weather = FINE
            if heals:
                self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        for link in self._links:
            if link.lost:
                link.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def _close(self) -> None:
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._take(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link([writer])
        self._links.add(link)
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", self._target)
            link.writers.append(forth)
            await asyncio.gather(
                self._relay(link, reader, forth, requests=True),
                self._relay(link, back, writer, requests=False),
            )
        except OSError:  # as if it had been refused at once
            pass
        finally:
            link.close()
            self._links.discard(link)

    async def _relay(
        self, link: _Link, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, requests: bool
    ) -> None:
        while data := await source.read(READ_SIZE):
            weather = self.weather
            if weather.delay_seconds:
                await asyncio.sleep(weather.delay_seconds)
            link.passed += len(data)
            loses = weather.loses_requests if requests else weather.loses_replies
            if loses and link.passed > weather.bytes_before:
                link.lost.add(requests)
            if requests not in link.lost:
                sink.write(data)
                await sink.drain()
        # Who asks may go; of one who is asked, the other side hears only over a connection that lost nothing.
        if requests or requests not in link.lost:
            link.close()
