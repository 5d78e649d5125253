"""Redis as a cache: on loopback with a password, bounded, and with nothing written to disk."""

import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from stack import binaries
from stack.child import before_exec
from stack.errors import StackError
from stack.files import write_private
from stack.ports import free_port

MEMORY = "128mb"
START_SECONDS = 15.0
STOP_SECONDS = 5.0


class Redis:
    """One server on a loopback port, a free one when none is given. It forgets everything when it stops.

    Who is logged in stands in it, so other users of the machine need the password. Each object has its own.
    """

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = Path(folder).absolute()
        self.port = port or free_port()
        self._password = secrets.token_urlsafe(24)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL for clients, with the password."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    @property
    def _password_file(self) -> Path:
        return self.folder / "password.conf"

    def prepare(self) -> None:
        """Make the folder that the server runs in, and the file with its password."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_private(self._password_file, f"requirepass {self._password}\n", durable=False)

    def command(self) -> list[str]:
        """Returns the server's command line. It names no secret, for anybody may read it."""
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.folder),
            "save": "",
            "appendonly": "no",
        }
        options |= {"maxmemory": MEMORY, "maxmemory-policy": "allkeys-lru", "loglevel": "warning"}
        return [str(binaries.redis_server()), str(self._password_file)] + [
            part for key, value in options.items() for part in (f"--{key}", value)
        ]

    def before_exec(self) -> Callable[[], None]:
        """Returns the child's set-up: it ends at once when its parent dies, for it has nothing to save."""
        return before_exec(signal.SIGKILL)

    def is_ready(self, pid: int) -> bool:
        """Returns whether the server that runs as `pid` replies, and no other that has the port already."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=0.5) as connection:
                connection.settimeout(0.5)
                connection.sendall(f"AUTH {self._password}\r\nINFO server\r\n".encode())
                return f"\r\nprocess_id:{pid}\r\n".encode() in _replies(connection)
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


def _replies(connection: socket.socket) -> bytes:
    """Returns the beginning of what comes: the two replies may come apart."""
    received = b""
    while b"process_id" not in received and len(received) < 16_384:
        piece = connection.recv(16_384)
        if not piece:
            break
        received += piece
    return received
