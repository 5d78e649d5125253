"""Processes that hang, or that nobody starts again."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from stack.testing import RunningStack


@contextmanager
def hanging(stack: RunningStack, name: str) -> Iterator[None]:
    """For so long the process takes connections and sends nothing; a killed one would be back at once."""
    pid = stack.pid(name)
    assert pid is not None, f"{name} does not run"
    with _stopped(pid):
        yield


def unattended(stack: RunningStack) -> AbstractContextManager[None]:
    """For so long nothing that dies is started again."""
    return _stopped(stack.supervisor.pid)


@contextmanager
def _stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
