"""Redis as a cache: on loopback, bounded, and with nothing written to disk."""

import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from stack import binaries
from stack.child import before_exec
from stack.errors import StackError
from stack.ports import free_port

MEMORY = "128mb"
START_SECONDS = 15.0
STOP_SECONDS = 5.0


class Redis:
    """One server on a loopback port, a free one when none is given. It forgets everything when it stops."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = Path(folder).absolute()
        self.port = port or free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL for clients."""
        return f"redis://127.0.0.1:{self.port}/0"

    def prepare(self) -> None:
        """Make the folder that the server runs in."""
        self.folder.mkdir(parents=True, exist_ok=True)

    def command(self) -> list[str]:
        """Returns the server's command line."""
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.folder),
            "save": "",
            "appendonly": "no",
        }
        options |= {"maxmemory": MEMORY, "maxmemory-policy": "allkeys-lru", "loglevel": "warning"}
        return [str(binaries.redis_server())] + [
            part for key, value in options.items() for part in (f"--{key}", value)
        ]

    def before_exec(self) -> Callable[[], None]:
        """Returns the child's set-up: it ends at once when its parent dies, for it has nothing to save."""
        return before_exec(signal.SIGKILL)

    def is_ready(self, pid: int) -> bool:
        """Returns whether the server that runs as `pid` replies, and no other that has the port already."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=0.5) as connection:
                connection.sendall(b"INFO server\r\n")
                return f"\r\nprocess_id:{pid}\r\n".encode() in connection.recv(16_384)
        except OSError:
            return False

    def start(self) -> None:
        """Start the server and wait until it replies. Raises StackError with its last words."""
        self.prepare()
        log = self.folder / "server.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=self.before_exec(),  # noqa: PLW1509  (nothing else can set a death signal)
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.is_ready(self._process.pid):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                lines = log.read_text(errors="replace").strip().splitlines()
                raise StackError(
                    f"Redis did not start on port {self.port}: {lines[-1] if lines else 'it said nothing'}"
                )
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop the server that start() started."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
