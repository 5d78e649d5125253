"""CPU time of processes, and of everything else on the machine, from /proc."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Snapshot:
    """CPU seconds used so far, by process and by the whole machine, at one moment."""

    processes: Mapping[str, float]
    machine: float

    def since(self, before: Snapshot) -> Snapshot:
        """What was used since then. A process that was not there before counts from its start."""
        used = {name: seconds - before.processes.get(name, 0.0) for name, seconds in self.processes.items()}
        return Snapshot(used, self.machine - before.machine)


def snapshot(pids: Mapping[str, int]) -> Snapshot:
    """CPU time of each of these processes with all its children, dead or alive."""
    children: dict[int, list[int]] = {}
    used: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(entry)):
            pid = int(entry.name)
            children.setdefault(int(fields[1]), []).append(pid)
            # utime, stime, and those of children that have ended
            used[pid] = sum(map(int, fields[11:15])) * _TICK

    def tree(pid: int) -> float:
        return used.get(pid, 0.0) + sum(tree(child) for child in children.get(pid, ()))

    return Snapshot({name: tree(pid) for name, pid in pids.items()}, _machine())


def _stat(entry: Path) -> list[str] | None:
    try:
        return (entry / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):  # it ended while we looked
        return None


def _machine() -> float:
    """Busy time of all cores: user, nice, system, irq, softirq."""
    with Path("/proc/stat").open() as lines:
        values = [int(value) for value in lines.readline().split()[1:]]
    return sum(values[i] for i in (0, 1, 2, 5, 6)) * _TICK
