"""A whole stack for tests and benchmarks: a child process with data and ports of its own.

For PostgreSQL or Redis alone use `stack.postgres.Postgres` and `stack.redis.Redis`.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stack.child import before_exec
from stack.endpoints import Endpoints
from stack.errors import StackError
from stack.ports import free_block
from stack.settings import PREFIX, ROOT
from stack.state import DataFolder

INNER_PORTS = 50
START_SECONDS = 120.0
STOP_SECONDS = 15.0

Setting = str | int | bool | Path | Mapping[str, str]


@dataclass(frozen=True)
class RunningStack:
    """A stack that is ready."""

    endpoints: Endpoints
    folder: DataFolder
    supervisor: subprocess.Popen[bytes]

    def pid(self, name: str) -> int | None:
        """Returns the process id of `name`, such as `points` or `vouchers-worker`; None while it is down."""
        try:
            return int((self.folder.run / f"{name}.pid").read_text())
        except FileNotFoundError:
            return None

    def kill(self, name: str) -> int:
        """End a process with SIGKILL, as a crash would, and return its id. The stack starts it again."""
        pid = self.pid(name)
        if pid is None:
            raise StackError(f"{name} does not run")
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_restarted(self, name: str, old: int, seconds: float = 30.0) -> int:
        """Wait until `name` runs as another process than `old`; its id. It may not be healthy yet."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            pid = self.pid(name)
            if pid is not None and pid != old:
                return pid
            time.sleep(0.02)
        raise StackError(f"{name} was not started again within {seconds:g} s")

    def stop(self) -> int:
        """Stop the stack as Ctrl-C would, and return its exit status."""
        self.supervisor.send_signal(signal.SIGINT)
        try:
            return self.supervisor.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.supervisor.kill()
            self.supervisor.wait()
            raise StackError(f"the stack did not stop within {STOP_SECONDS:g} s") from None


def start_stack(
    data: Path, environment: Mapping[str, str] | None = None, **settings: Setting
) -> RunningStack:
    """Start a stack on `data` and free ports, and wait until it is ready.

    `settings` are fields of `stack.settings.Settings`; no sample data are loaded unless asked for.
    Raises StackError with the stack's words when it does not become ready.
    """
    block = free_block(INNER_PORTS + 2)
    chosen: dict[str, Setting] = {
        "data": data.resolve(),
        "base_port": block,
        "edge_port": block + INNER_PORTS,
        "ops_port": block + INNER_PORTS + 1,
        "sample": False,
        "quiet": True,
    }
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
    variables = {f"{PREFIX}{name}".upper(): _text(value) for name, value in (chosen | settings).items()}
    data.mkdir(parents=True, exist_ok=True)
    folder = DataFolder(data.resolve())
    with (data / "output.txt").open("wb") as output:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "stack", "up"],
            cwd=ROOT,
            env=inherited | variables | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=before_exec(signal.SIGTERM),  # noqa: PLW1509  (a killed test run leaves nothing behind)
        )
    return RunningStack(_wait_until_ready(supervisor, folder), folder, supervisor)


@contextmanager
def running_stack(
    data: Path | None = None, environment: Mapping[str, str] | None = None, **settings: Setting
) -> Iterator[RunningStack]:
    """A stack for the time of a `with` block; without `data`, on a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="scrip-") as temporary:
        stack = start_stack(data or Path(temporary), environment, **settings)
        try:
            yield stack
        finally:
            if stack.supervisor.poll() is None:
                stack.stop()


def _wait_until_ready(supervisor: subprocess.Popen[bytes], folder: DataFolder) -> Endpoints:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and supervisor.poll() is None:
        try:
            endpoints = Endpoints.read(folder.endpoints)
        except FileNotFoundError:
            time.sleep(0.02)
            continue
        # The file of a stack that was killed stays until the next one has looked around.
        if endpoints.supervisor_pid == supervisor.pid:
            return endpoints
        time.sleep(0.02)
    if supervisor.poll() is None:
        supervisor.terminate()
    supervisor.wait()
    words = (folder.path / "output.txt").read_text(errors="replace").strip()
    raise StackError(f"the stack did not become ready:\n{words}")


def _text(value: Setting) -> str:
    if isinstance(value, Mapping):
        return json.dumps(dict(value))
    return str(value).lower() if isinstance(value, bool) else str(value)
