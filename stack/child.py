"""What happens in a child process between fork and exec: its privileges, and its end when its parent dies."""

import ctypes
import os
import pwd
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stack.errors import StackError

PR_SET_PDEATHSIG = 1
PR_SET_SECUREBITS = 28
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
SECBIT_NO_SETUID_FIXUP = 1 << 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522

SERVER_USER = "embedded_postgres"

_libc = ctypes.CDLL(None, use_errno=True)


def require_linux() -> None:
    """Raises StackError elsewhere: a child's end with its parent is something that only Linux offers."""
    if sys.platform != "linux":
        raise StackError("the embedded stack runs on Linux: use docker compose here")


@dataclass(frozen=True)
class User:
    """A system user for a server that refuses to run as root."""

    name: str
    uid: int
    gid: int


def server_user() -> User | None:
    """None unless this process is root; then a system user for the server, created when missing."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(SERVER_USER)
    except KeyError:
        entry = _create_user()
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _create_user() -> pwd.struct_passwd:
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SERVER_USER]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        reason = result.stderr.strip()
    except FileNotFoundError:
        reason = "useradd is not installed"
    try:
        # Asked even after a failure: another stack may have created it at the same moment.
        return pwd.getpwnam(SERVER_USER)
    except KeyError:
        pass
    raise StackError(
        f"PostgreSQL does not run as root and no user could be made for it ({reason}): run as a normal user"
    )


def others_reach(path: Path) -> bool:
    """Returns whether every folder above this file or folder lets any user through."""
    path = path.resolve()
    return all(parent.stat().st_mode & 0o001 for parent in path.parents)


def _call(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _become(user: User, pass_closed_folders: bool) -> None:
    if pass_closed_folders:
        # A clone in root's home or in a private folder is closed to the server's user. Opening those
        # folders to everybody would be worse than letting this one process keep the right to pass them.
        _call(_libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0))
    os.setgroups([])
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    if pass_closed_folders:
        only = 1 << CAP_DAC_OVERRIDE
        header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
        _call(_libc.capset(header, (ctypes.c_uint32 * 6)(only, only, only, 0, 0, 0)))
        _call(_libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0))


def before_exec(
    death_signal: signal.Signals | None, user: User | None = None, pass_closed_folders: bool = False
) -> Callable[[], None]:
    """Returns a `preexec_fn`: become `user`, and receive `death_signal` from the kernel when the parent dies.

    The kernel means the parent *thread*, so the signal is asked for only from the main thread.
    """
    parent = os.getpid()
    wanted = death_signal if threading.current_thread() is threading.main_thread() else None

    def prepare() -> None:
        if user is not None:
            _become(user, pass_closed_folders)
        if wanted is not None:
            # After the change of user, which would clear it.
            _call(_libc.prctl(PR_SET_PDEATHSIG, int(wanted), 0, 0, 0))
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGKILL)

    return prepare


def is_running(pid: int) -> bool:
    """Returns whether a process with this id exists and has not merely ended without being collected."""
    started = start_time(pid)
    return started is not None


def start_time(pid: int) -> str | None:
    """Returns when this process started, in clock ticks since boot, or None when it has ended.

    Together with the id it names one process until the next boot.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]
