"""CPU time is that of the process asked for, with its children."""

import os
import subprocess
import sys
import time

from bench.cpu import snapshot

BURN = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"


def test_a_child_counts_for_its_parent_alive_or_dead() -> None:
    before = snapshot({"me": os.getpid()})
    with subprocess.Popen([sys.executable, "-c", BURN + "\ninput()"], stdin=subprocess.PIPE) as child:
        deadline = time.monotonic() + 20
        while snapshot({"child": child.pid}).processes["child"] < 0.3 and time.monotonic() < deadline:
            time.sleep(0.05)
        alive = snapshot({"me": os.getpid()}).since(before)
        child.communicate(b"\n")
    dead = snapshot({"me": os.getpid()}).since(before)
    assert alive.processes["me"] >= 0.3
    assert dead.processes["me"] >= 0.3
    assert dead.machine >= 0.3
