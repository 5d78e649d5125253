"""Processes of the benchmark's own beside the stack: they end with it, and their output is kept."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stack.child import before_exec
from stack.settings import ROOT

START_SECONDS = 30.0
STOP_SECONDS = 5.0


class BenchError(Exception):
    """The benchmark can not go on, or what it measured does not hold."""


@dataclass
class Children:
    """Starts processes with logs in `folder`, and stops them all."""

    folder: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
        """Starts a process and returns its id."""
        with self.log(name).open("wb") as output:
            self.running[name] = subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | (environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=before_exec(signal.SIGTERM),  # noqa: PLW1509  (this process has one thread)
            )
        return self.running[name].pid

    def log(self, name: str) -> Path:
        """Returns where the output of a process is."""
        return self.folder / f"{name}.log"

    def wait_ready(self, name: str, ready: Callable[[], bool]) -> None:
        """Waits until `ready()`. Raises BenchError with the last words of a process that is not in time."""
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if self.running[name].poll() is not None or time.monotonic() > deadline:
                words = self.log(name).read_text(errors="replace").strip()[-2_000:]
                raise BenchError(f"{name} did not get ready:\n{words}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stops all, the last started first."""
        for process in reversed(self.running.values()):
            process.terminate()
        for process in self.running.values():
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.running.clear()
