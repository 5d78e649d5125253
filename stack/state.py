"""The data folder of one stack: who uses it, what runs in it, what is in it."""

import fcntl
import json
import os
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from stack.child import start_time
from stack.errors import StackError
from stack.files import write_private

LEFT_BEHIND_SECONDS = 3.0
# What `reset` may delete: a folder named by mistake keeps everything else.
CONTENTS = ("postgres", "redis", "run", "logs", "secrets.json", "sample.json", "output.txt", "lock")


@dataclass(frozen=True)
class Running:
    """A process that the stack started. Id, start and boot together name it for ever."""

    pid: int
    started: str
    boot: str
    stop_signal: int

    def alive(self) -> bool:
        """Returns whether exactly this process still runs."""
        return self.boot == boot_id() and start_time(self.pid) == self.started


def boot_id() -> str:
    """Returns the id of this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class DataFolder:
    """Paths in the data folder, its lock, and the list of running processes in `run/`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.run = path / "run"
        self.logs = path / "logs"
        self.postgres = path / "postgres"
        self.redis = path / "redis"
        self.secrets = path / "secrets.json"
        self.sample = path / "sample.json"
        self.endpoints = self.run / "endpoints.json"
        self._processes = self.run / "processes.json"
        self._lock_file = path / "lock"
        self._lock: int | None = None
        self._running: dict[str, Running] = {}

    def lock(self) -> None:
        """Make the folder and claim it for this process. Raises StackError when another stack uses it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StackError(f"the data folder {self.path} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(handle, 20).decode().strip()
            os.close(handle)
            raise StackError(
                f"the data folder {self.path} is in use by process {owner}: stop it,"
                " or choose another folder with SCRIP_STACK_DATA"
            ) from None
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
        self._lock = handle

    def unlock(self) -> None:
        """Let another process claim the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def owner(self) -> int | None:
        """Returns the process that holds the lock, or None."""
        try:
            handle = os.open(self._lock_file, os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(os.read(handle, 20).decode().strip() or 0)
        else:
            return None
        finally:
            os.close(handle)

    def make(self) -> None:
        """Make the folders below; the lock must be held."""
        self.run.mkdir(mode=0o700, exist_ok=True)
        self.logs.mkdir(mode=0o700, exist_ok=True)

    def record(self, name: str, pid: int, stop_signal: signal.Signals) -> None:
        """Note that `name` runs as `pid` now, in `run/<name>.pid` too."""
        self._running[name] = Running(pid, start_time(pid) or "", boot_id(), int(stop_signal))
        write_private(self.run / f"{name}.pid", f"{pid}\n", durable=False)
        self._write_processes()

    def forget(self, name: str) -> None:
        """Note that `name` does not run any more."""
        if self._running.pop(name, None) is not None:
            (self.run / f"{name}.pid").unlink(missing_ok=True)
            self._write_processes()

    def processes(self) -> dict[str, Running]:
        """Returns what was noted last, by this process or by one before it."""
        try:
            found = json.loads(self._processes.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return {name: Running(**values) for name, values in found.items()}

    def stop_left_behind(self) -> list[str]:
        """Stop what a killed stack left running, and return the names.

        A stranger that got an old process id is left alone.
        """
        left = {name: process for name, process in self.processes().items() if process.alive()}
        for process in left.values():
            _signal(process, process.stop_signal)
        deadline = time.monotonic() + LEFT_BEHIND_SECONDS
        while any(process.alive() for process in left.values()) and time.monotonic() < deadline:
            time.sleep(0.02)
        for process in left.values():
            _signal(process, signal.SIGKILL)
        for old in (*self.run.glob("*.pid"), self._processes, self.endpoints):
            old.unlink(missing_ok=True)
        return list(left)

    def delete(self) -> None:
        """Delete all state. The lock must be held, and nothing may run."""
        for name in CONTENTS:
            path = self.path / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        if not any(self.path.iterdir()):
            self.path.rmdir()

    def _write_processes(self) -> None:
        text = json.dumps({name: vars(process) for name, process in self._running.items()}, indent=2)
        write_private(self._processes, text + "\n", durable=False)


def _signal(process: Running, number: int) -> None:
    if process.alive():
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            return
