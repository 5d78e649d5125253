"""How the two workers of `make test` share a run, so that what is expensive to start is started seldom."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from stack import ports

WHOLE_STACK = ("tests/e2e", "tests/faults", "tests/openapi", "stack/tests/test_stack.py")
"""Tests that run all of Scrip as processes: one such stack at a time has two cores busy."""
UPGRADES = "tests/upgrades"
"""Tests that restore the dumps of earlier versions."""
ONE_SERVER = ("tests/edge", UPGRADES)
"""Folders whose tests share servers that nobody else uses."""


def unit_of(nodeid: str) -> str:
    """Returns what all goes to one worker: the test's file, or its folder where that shares a server."""
    path = PurePosixPath(nodeid.partition("::")[0])
    places = [str(place) for place in (path, *path.parents)]
    return next((unit for unit in (*WHOLE_STACK, *ONE_SERVER) if unit in places), str(path))


class Sharing(LoadScopeScheduling):
    """Gives a worker whose work ends the next unit: one with a whole stack unless the other worker has one.

    So these, which take longest, come first and one after the other, and beside them run the tests whose
    services are in the worker's own process.
    """

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # the number of tests says little about their time

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)

    def _assign_work_unit(self, node: WorkerController) -> None:
        self.workqueue.move_to_end(self._next_for(node), last=False)
        super()._assign_work_unit(node)

    def _next_for(self, node: WorkerController) -> str:
        elsewhere = [units for other, units in self.assigned_work.items() if other is not node]
        under_way = {unit for units in elsewhere for unit, tests in units.items() if not all(tests.values())}
        stack_runs = not under_way.isdisjoint(WHOLE_STACK)
        return min(self.workqueue, key=lambda unit: (unit in WHOLE_STACK) == stack_runs)


def keep_ports_apart(worker: int, count: int) -> None:
    """Gives each worker of so many free ports from a range of its own.

    Otherwise one could take a port that another has found to be free but not taken yet, or whose server
    is just being started again.
    """
    size = (ports.HIGHEST - ports.LOWEST) // count
    ports.LOWEST += worker * size
    ports.HIGHEST = ports.LOWEST + size
