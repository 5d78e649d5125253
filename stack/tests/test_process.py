"""A supervised process: restarts with a growing wait, pid file, stop."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path

import pytest

from stack.child import is_running
from stack.errors import StackError
from stack.logs import Console
from stack.process import Backoff, Process, Program, StopSteps
from stack.state import DataFolder
from stack.supervisor import Supervisor

QUICK: StopSteps = ((signal.SIGTERM, 0.3), (signal.SIGKILL, 1.0))


def test_wait_doubles_up_to_ten_seconds() -> None:
    backoff = Backoff()
    waits = [backoff.after(lived=1.0) for _ in range(8)]
    assert waits == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


def test_wait_is_short_again_after_a_good_life() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.after(lived=1.0)
    assert backoff.after(lived=30.0) == 0.2
    assert backoff.after(lived=1.0) == 0.4


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    folder = DataFolder(tmp_path / "data")
    folder.lock()
    folder.make()
    return folder


@pytest.fixture
async def supervisor(folder: DataFolder) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(folder, Console(8, quiet=True))
    yield supervisor
    await supervisor.stop(supervisor.names())
    supervisor.close()
    folder.unlock()


def python(name: str, text: str, *, restart: bool = True) -> Program:
    command = [sys.executable, "-S", "-u", "-c", text]
    return Program(name, command, dict(os.environ), Path("/"), QUICK, restart=restart)


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


def logged(process: Process) -> str:
    return process.log.path.read_text()


async def test_killed_process_is_started_again_and_its_pid_file_follows(
    supervisor: Supervisor, folder: DataFolder
) -> None:
    process = supervisor.start(python("sleeper", "import time; print('up'); time.sleep(60)"))
    pid_file = folder.run / "sleeper.pid"
    await until(lambda: "up" in logged(process))
    first = int(pid_file.read_text())
    os.kill(first, signal.SIGKILL)
    await until(lambda: process.pid not in {None, first})
    assert int(pid_file.read_text()) == process.pid
    await until(lambda: logged(process).count("up") == 2)
    assert "sleeper was ended by SIGKILL; started again in 0.2 s" in (folder.logs / "stack.log").read_text()


async def test_process_that_keeps_dying_is_tried_less_and_less_often(
    supervisor: Supervisor, folder: DataFolder
) -> None:
    process = supervisor.start(python("broken", "import time; print(time.monotonic()); raise SystemExit(3)"))
    await until(lambda: process.deaths == 3)
    moments = [float(line) for line in logged(process).split()]
    waits = [after - before for before, after in pairwise(moments)]
    assert waits[0] >= 0.2
    assert waits[1] >= 0.4
    words = (folder.logs / "stack.log").read_text()
    assert "broken ended with status 3; started again in 0.8 s" in words
    with pytest.raises(StackError, match="broken does not start"):
        supervisor.check(["broken"])


async def test_program_that_does_not_exist_is_told_and_tried_again(supervisor: Supervisor) -> None:
    process = supervisor.start(Program("nothing", ["/does/not/exist"], {}, Path("/"), QUICK))
    await until(lambda: process.deaths == 2)
    assert "cannot be started" in logged(process)


async def test_stop_ends_what_ignores_sigterm(supervisor: Supervisor, folder: DataFolder) -> None:
    text = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up'); time.sleep(60)"
    process = supervisor.start(python("stubborn", text))
    await until(lambda: "up" in logged(process))
    pid = process.pid
    assert pid
    began = time.monotonic()
    await supervisor.stop(["stubborn"])
    assert 0.3 <= time.monotonic() - began < 2
    assert not is_running(pid)
    assert not (folder.run / "stubborn.pid").exists()
    assert "stubborn did not end when asked to" in (folder.logs / "stack.log").read_text()


async def test_stop_does_not_wait_for_the_next_start_of_a_dead_process(supervisor: Supervisor) -> None:
    process = supervisor.start(python("broken", "raise SystemExit(1)"))
    await until(lambda: process.deaths == 3)
    began = time.monotonic()
    await supervisor.stop(["broken"])
    assert time.monotonic() - began < 0.5


async def test_hurry_shortens_the_stop(supervisor: Supervisor) -> None:
    text = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up'); time.sleep(60)"
    patient: StopSteps = ((signal.SIGTERM, 30.0), (signal.SIGKILL, 1.0))
    program = Program("slow", [sys.executable, "-u", "-c", text], dict(os.environ), Path("/"), patient)
    process = supervisor.start(program)
    await until(lambda: "up" in logged(process))
    stopping = asyncio.create_task(supervisor.stop(["slow"]))
    await asyncio.sleep(0.1)
    began = time.monotonic()
    supervisor.hurry()
    await stopping
    assert time.monotonic() - began < 2


async def test_helper_that_fails_is_an_error_with_its_last_words(supervisor: Supervisor) -> None:
    with pytest.raises(StackError, match="helper failed: no such thing"):
        await supervisor.run(
            python("helper", "print('no such thing'); raise SystemExit(1)", restart=False), 10
        )


async def test_helper_that_hangs_is_stopped(supervisor: Supervisor) -> None:
    with pytest.raises(StackError, match=r"helper did not end within 0\.5 s"):
        await supervisor.run(python("helper", "import time; time.sleep(60)", restart=False), 0.5)


async def test_ctrl_c_in_the_terminal_does_not_reach_the_children(supervisor: Supervisor) -> None:
    process = supervisor.start(python("child", "import os; print(os.getsid(0)); import time; time.sleep(60)"))
    await until(lambda: logged(process).strip())
    assert int(logged(process)) == process.pid != os.getsid(0)
