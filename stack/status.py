"""`status`: what of the stack runs."""

from pathlib import Path

from stack.endpoints import Endpoints
from stack.state import DataFolder


def report(folder: DataFolder) -> str:
    """A table of the processes with their memory, and the address of the edge."""
    owner = folder.owner()
    if owner is None:
        return f"nothing runs on {folder.path}"
    rows = [("stack", owner)] + [
        (name, process.pid) for name, process in folder.processes().items() if process.alive()
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {pid:>8}  {_memory(pid):>7.1f} MiB" for name, pid in rows]
    try:
        lines.append(f"ready on {Endpoints.read(folder.endpoints).edge_url}")
    except FileNotFoundError:
        lines.append("not ready")
    return "\n".join(lines)


def _memory(pid: int) -> float:
    """Memory of one process in MiB, with its part of what it shares; its children are not counted."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0.0
    return 0.0
