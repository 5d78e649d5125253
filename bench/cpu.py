"""CPU time of processes, and of everything else on the machine, from /proc."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Snapshot:
    """CPU seconds used so far, by process and by the whole machine, at one moment."""

    processes: Mapping[str, float]
    machine: float

    @property
    def strangers(self) -> float:
        """CPU seconds of everything that is not among these processes."""
        return max(0.0, self.machine - sum(self.processes.values()))

    def since(self, before: Snapshot) -> Snapshot:
        """Returns what was used since then. A process that was not there before counts from its start."""
        used = {name: seconds - before.processes.get(name, 0.0) for name, seconds in self.processes.items()}
        return Snapshot(used, self.machine - before.machine)


def snapshot(pids: Mapping[str, int]) -> Snapshot:
    """CPU time of each of these processes with its children, dead or alive; nothing is counted twice."""
    roots = set(pids.values())
    children: dict[int, list[int]] = {}
    used: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(entry)):
            pid = int(entry.name)
            children.setdefault(int(fields[1]), []).append(pid)
            # utime, stime, and those of children that have ended
            used[pid] = sum(map(int, fields[11:15])) * _TICK

    def tree(pid: int) -> float:
        return used.get(pid, 0.0) + sum(tree(child) for child in children.get(pid, ()) if child not in roots)

    return Snapshot({name: tree(pid) for name, pid in pids.items()}, _machine())


def strangers(pids: Mapping[str, int], seconds: float) -> float:
    """Cores in use by what is not among these processes, seen for so many seconds."""
    before = snapshot(pids)
    time.sleep(seconds)
    return snapshot(pids).since(before).strangers / seconds


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
