"""Free ports, and a clear error when one is taken."""

import random
import socket
from collections.abc import Iterable
from errno import EADDRINUSE

from stack.errors import StackError

# Below the range from which Linux gives ports to outgoing connections: those come and go at any moment.
LOWEST, HIGHEST = 10_000, 32_000
TRIES = 200


def is_free(host: str, port: int) -> bool:
    """Returns whether a server could listen on this address now."""
    return why_not(host, port) is None


def why_not(host: str, port: int) -> str | None:
    """Returns why no server could listen on this address now, or None."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # Servers set this too: without it, connections in TIME_WAIT would make a port look taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            return f"port {port} is for root alone"
        except OSError as error:
            return (
                f"port {port} on {host} is taken"
                if error.errno == EADDRINUSE
                else f"{host}: {error.strerror}"
            )
        return None


def free_block(size: int, host: str = "127.0.0.1") -> int:
    """Returns the first of `size` consecutive free ports. Raises StackError when none is found."""
    for _ in range(TRIES):
        first = random.randrange(LOWEST, HIGHEST - size)
        if all(is_free(host, port) for port in range(first, first + size)):
            return first
    raise StackError(f"no {size} consecutive free ports found between {LOWEST} and {HIGHEST}")


def free_port(host: str = "127.0.0.1") -> int:
    """Returns one free port."""
    return free_block(1, host)


def require_free(wanted: Iterable[tuple[str, int, str, str]]) -> None:
    """Raises StackError naming the first that can not be had among these (host, port, what for, setting)."""
    for host, port, purpose, setting in wanted:
        if reason := why_not(host, port):
            raise StackError(f"{reason}, but {purpose} needs it: choose another with {setting}")
