"""A process that hangs."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from stack.testing import RunningStack


@contextmanager
def hanging(stack: RunningStack, name: str) -> Iterator[None]:
    """For so long the process takes connections and answers nothing; a killed one would be back at once."""
    pid = stack.pid(name)
    assert pid is not None, f"{name} does not run"
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
