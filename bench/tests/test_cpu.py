"""CPU time is that of the process asked for, with its children."""

import os
import subprocess
import sys

from bench.cpu import snapshot

BURN = """
import time
end = time.process_time() + 0.5
while time.process_time() < end:
    pass
print(flush=True)
input()
"""


def test_a_child_counts_for_its_parent_alive_or_dead() -> None:
    before = snapshot({"me": os.getpid()})
    command = [sys.executable, "-c", BURN]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()
        alive = snapshot({"me": os.getpid()}).since(before)
        child.communicate(b"\n")
    dead = snapshot({"me": os.getpid()}).since(before)
    assert alive.processes["me"] >= 0.3
    assert dead.processes["me"] >= 0.3
    assert dead.machine >= 0.3
