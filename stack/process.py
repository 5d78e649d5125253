"""One supervised process: started, logged, started again when it dies, stopped step by step."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stack.child import before_exec
from stack.errors import StackError
from stack.logs import Log
from stack.state import DataFolder

FIRST_WAIT, LONGEST_WAIT = 0.2, 10.0
HEALTHY_SECONDS = 30.0
HURRIED_SECONDS = 0.3
READ_SIZE = 256 * 1024

StopSteps = tuple[tuple[signal.Signals, float], ...]
"""Signals in the order in which they are tried, each with the seconds that the process has after it."""


def die_with_parent() -> Callable[[], None]:
    """Returns the child set-up of everything that may end at once when the supervisor is killed."""
    return before_exec(signal.SIGKILL)


@dataclass(frozen=True)
class Program:
    """What to run, and how to stop it."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    stop_steps: StopSteps
    prepare: Callable[[], None] | None = None
    """Called before every start."""
    before_exec: Callable[[], Callable[[], None]] = field(default=die_with_parent)
    restart: bool = True
    shows: Callable[[bytes], bool] | None = None
    """Tells which lines of its log go to the console; all do when it is not given."""


class Backoff:
    """How long a process that died waits for its next start: longer each time, unless it lived well."""

    def __init__(self) -> None:
        self._next = FIRST_WAIT

    def after(self, lived: float) -> float:
        """Seconds to wait after a life of `lived` seconds."""
        if lived >= HEALTHY_SECONDS:
            self._next = FIRST_WAIT
        wait, self._next = self._next, min(self._next * 2, LONGEST_WAIT)
        return wait


class Process:
    """Runs a program until it is stopped. All methods belong to the thread of the event loop."""

    def __init__(self, program: Program, folder: DataFolder, log: Log, say: Callable[[str], None]) -> None:
        self.program = program
        self.log = log
        self.deaths = 0
        self._folder = folder
        self._say = say
        self._child: subprocess.Popen[bytes] | None = None
        self._ended = asyncio.Event()
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._task: asyncio.Task[int] | None = None

    @property
    def name(self) -> str:
        """The program's name."""
        return self.program.name

    @property
    def pid(self) -> int | None:
        """The process id, or None while nothing runs."""
        return self._child.pid if self._child else None

    def start(self) -> None:
        """Start the program, and go on starting it whenever it dies."""
        self._task = asyncio.create_task(self._supervise(), name=self.name)

    async def result(self) -> int:
        """Returns the exit status of a program that is not restarted, or of the last run of a stopped one."""
        if self._task is None:
            raise RuntimeError(f"{self.name} was not started")
        return await asyncio.shield(self._task)

    def collect(self) -> None:
        """Look whether the child ended: called on SIGCHLD."""
        if self._child is not None and self._child.poll() is not None:
            self._ended.set()

    async def stop(self, patience: float = 0.0) -> None:
        """Go through the stop steps until the process has ended; it is not started again.

        The first step may take `patience` seconds, if that is longer than its own.
        """
        self._stopping.set()
        (first, least), *others = self.program.stop_steps
        for number, seconds in ((first, max(least, patience)), *others):
            if self._child is None or self._child.returncode is not None:
                break
            if number == signal.SIGKILL:
                self._say(f"{self.name} did not end when asked to, and is killed")
            self._signal(number)
            await self._within(seconds)
        if self._task is not None:
            await asyncio.wait([self._task], timeout=1.0)
        self.log.close()

    def hurry(self) -> None:
        """Skip the waits between the stop steps."""
        self._hurry.set()

    async def _supervise(self) -> int:
        backoff = Backoff()
        status = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            status, how = await self._run()
            if self._stopping.is_set() or not self.program.restart:
                break
            self.deaths += 1
            wait = backoff.after(time.monotonic() - began)
            self._say(f"{self.name} {how}; started again in {wait:g} s")
            try:
                await asyncio.wait_for(self._stopping.wait(), wait)
            except TimeoutError:
                continue
        return status

    async def _run(self) -> tuple[int, str]:
        self._ended.clear()
        try:
            child = self._spawn()
        except (OSError, subprocess.SubprocessError, StackError) as error:
            self.log.say(f"cannot be started: {error}")
            return 1, f"cannot be started: {error}"
        self._child = child
        try:
            self._folder.record(self.name, child.pid, self.program.stop_steps[0][0])
        except OSError as error:  # a full disk; it runs all the same
            self._say(f"that {self.name} runs as {child.pid} can not be noted: {error.strerror}")
        assert child.stdout is not None
        output = child.stdout.fileno()
        os.set_blocking(output, False)
        loop = asyncio.get_running_loop()
        loop.add_reader(output, self._read, output)
        # It may have ended before anybody looked.
        self.collect()
        await self._ended.wait()
        while self._read(output):
            pass
        loop.remove_reader(output)
        child.stdout.close()
        self.log.end()
        self._child = None
        try:
            self._folder.forget(self.name)
        except OSError as error:
            self._say(f"that {self.name} does not run can not be noted: {error.strerror}")
        return child.returncode, _how(child.returncode)

    def _spawn(self) -> subprocess.Popen[bytes]:
        program = self.program
        if program.prepare is not None:
            program.prepare()
        return subprocess.Popen(
            program.command,
            env=dict(program.environment),
            cwd=program.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            # Ctrl-C in the terminal must reach the supervisor alone, which then stops all in order.
            start_new_session=True,
            preexec_fn=program.before_exec(),  # noqa: PLW1509  (the supervisor has one thread)
        )

    def _read(self, output: int) -> bool:
        try:
            data = os.read(output, READ_SIZE)
        except BlockingIOError:
            return False
        if not data:
            asyncio.get_running_loop().remove_reader(output)
            return False
        self.log.feed(data)
        return True

    def _signal(self, number: signal.Signals) -> None:
        if self._child is None:
            return
        if number == signal.SIGKILL:
            try:
                os.killpg(self._child.pid, number)
            except ProcessLookupError:
                return
        else:
            self._child.send_signal(number)

    async def _within(self, seconds: float) -> None:
        """Wait for the end of the child, for `seconds` at most, or much less once somebody is in a hurry."""
        began = time.monotonic()
        while not self._ended.is_set():
            limit = min(seconds, HURRIED_SECONDS) if self._hurry.is_set() else seconds
            if time.monotonic() - began > limit:
                return
            await asyncio.sleep(0.01)


def _how(status: int) -> str:
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"
