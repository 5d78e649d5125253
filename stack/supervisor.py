"""All processes of the stack together: one log, one stop."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Iterable

from stack.errors import StackError
from stack.logs import OWN_NAME, Console, Log
from stack.process import Process, Program
from stack.state import DataFolder

POLL_SECONDS = 0.02
MOST_DEATHS_AT_START = 3


class Supervisor:
    """Starts programs, waits for them, stops them. Use it inside a running event loop."""

    def __init__(self, folder: DataFolder, console: Console) -> None:
        self._folder = folder
        self._console = console
        self._log = Log(OWN_NAME, folder.logs, console)
        self._processes: dict[str, Process] = {}
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._collect)

    def say(self, text: str) -> None:
        """One line of the stack's own."""
        self._log.say(text)

    def start(self, program: Program) -> Process:
        """Start a program and keep it running."""
        log = Log(program.name, self._folder.logs, self._console, shows=program.shows)
        process = Process(program, self._folder, log, self.say)
        self._processes[program.name] = process
        process.start()
        return process

    async def run(self, program: Program, seconds: float) -> None:
        """Run a program to its end. Raises StackError with its last words when it fails or takes too long."""
        process = self.start(program)
        try:
            async with asyncio.timeout(seconds):
                status = await process.result()
        except TimeoutError:
            raise StackError(
                f"{program.name} did not end within {seconds:g} s; see {process.log.path}"
            ) from None
        finally:
            await self.stop([program.name])
        if status != 0:
            raise StackError(f"{program.name} failed: {process.log.last_line}; see {process.log.path}")

    async def until_ready(
        self, process: Process, is_ready: Callable[[int], Awaitable[bool]], seconds: float
    ) -> None:
        """Wait until `is_ready(pid)`.

        Raises StackError when the process does not stay up, or is not ready in time.
        """
        deadline = time.monotonic() + seconds
        while not (process.pid and await is_ready(process.pid)):
            self.check([process.name])
            if time.monotonic() > deadline:
                raise StackError(f"{process.name} is not ready after {seconds:g} s; see {process.log.path}")
            await asyncio.sleep(POLL_SECONDS)

    def check(self, names: Iterable[str]) -> None:
        """Raises StackError when one of these processes dies again and again."""
        for process in (self._processes[name] for name in names):
            if process.deaths >= MOST_DEATHS_AT_START:
                raise StackError(
                    f"{process.name} does not start: {process.log.last_line}; see {process.log.path}"
                )

    def names(self) -> list[str]:
        """Returns what is being kept running."""
        return list(self._processes)

    async def stop(self, names: Iterable[str], patience: float = 0.0) -> None:
        """Stop these processes at the same time, and wait for their end; see Process.stop."""
        stopping = [self._processes[name] for name in names if name in self._processes]
        await asyncio.gather(*(process.stop(patience) for process in stopping))
        for process in stopping:
            self._processes.pop(process.name, None)

    def hurry(self) -> None:
        """Let no stop wait any longer."""
        for process in self._processes.values():
            process.hurry()

    def close(self) -> None:
        """Nothing runs any more: close the stack's own log."""
        asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)
        self._log.close()

    def _collect(self) -> None:
        for process in self._processes.values():
            process.collect()
