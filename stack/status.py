"""`status`: what of the stack runs."""

from pathlib import Path

from stack import text
from stack.endpoints import Endpoints
from stack.errors import StackError
from stack.secrets import kept_admin_password
from stack.state import DataFolder


def report(folder: DataFolder) -> str:
    """Returns a table of the processes with their memory, and where and how to call them.

    Raises StackError when nothing runs.
    """
    owner = folder.owner()
    if owner is None:
        raise StackError(f"nothing runs on {folder.path}")
    children = _children()
    rows = [("stack", owner, memory_mib(owner))]
    for name, process in folder.processes().items():
        if process.alive():
            family = [process.pid, *children.get(process.pid, [])]
            rows.append((name, process.pid, sum(map(memory_mib, family))))
    width = max(len(name) for name, _, _ in rows)
    lines = [f"{name:<{width}}  {pid:>8}  {memory:>7.1f} MiB" for name, pid, memory in rows]
    lines.append(f"{'together':<{width}}  {'':>8}  {sum(memory for _, _, memory in rows):>7.1f} MiB")
    try:
        endpoints = Endpoints.read(folder.endpoints)
        given = endpoints.admin_password != kept_admin_password(folder.secrets)
        lines.append(text.welcome(endpoints, folder.path, password_given=given))
    except FileNotFoundError:
        lines.append("not ready")
    return "\n".join(lines)


def _children() -> dict[int, list[int]]:
    """Returns the children of every process: PostgreSQL has one for each connection."""
    found: dict[int, list[int]] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            found.setdefault(parent, []).append(int(path.name))
    return found


def memory_mib(pid: int) -> float:
    """Memory of one process in MiB, with its part of what it shares; 0 when that may not be seen."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0.0
    return 0.0
