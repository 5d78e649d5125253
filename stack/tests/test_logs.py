"""Log lines: names before them, whole, bounded on disk."""

import asyncio
import io
import os
import signal
import sys
from contextlib import closing
from pathlib import Path

from stack.logs import LONGEST_LINE, Console, Log, LogFile
from stack.process import Process, Program
from stack.state import DataFolder


def test_every_line_carries_its_name(tmp_path: Path) -> None:
    output = io.BytesIO()
    console = Console(8, output=output)
    with (
        closing(Log("points", tmp_path, console)) as points,
        closing(Log("vouchers", tmp_path, console)) as other,
    ):
        points.feed(b"one\ntwo\n")
        other.feed(b"three\n")
    assert output.getvalue() == b"points   | one\npoints   | two\nvouchers | three\n"
    assert (tmp_path / "points.log").read_text() == "one\ntwo\n"


def test_pieces_become_whole_lines(tmp_path: Path) -> None:
    output = io.BytesIO()
    with closing(Log("a", tmp_path, Console(1, output=output))) as log:
        log.feed(b"be")
        log.feed(b"fore\naf")
        assert output.getvalue() == b"a | before\n"
        log.feed(b"ter")
        log.end()
        assert output.getvalue() == b"a | before\na | after\n"
        assert log.last_line == "after"


def test_line_without_end_does_not_grow_in_memory(tmp_path: Path) -> None:
    output = io.BytesIO()
    with closing(Log("a", tmp_path, Console(1, output=output))) as log:
        for _ in range(LONGEST_LINE // 1024 + 2):
            log.feed(b"x" * 1024)
        assert len(output.getvalue()) > LONGEST_LINE


def test_quiet_console_prints_only_the_stacks_own_words(tmp_path: Path) -> None:
    output = io.BytesIO()
    console = Console(6, quiet=True, output=output)
    with closing(Log("points", tmp_path, console)) as points, closing(Log("stack", tmp_path, console)) as own:
        points.feed(b"chatter\n")
        own.say("ready")
    assert output.getvalue() == b"stack  | ready\n"
    assert (tmp_path / "points.log").read_text() == "chatter\n"


def test_what_is_left_to_the_file_is_not_on_the_console(tmp_path: Path) -> None:
    output = io.BytesIO()
    console = Console(5, output=output)
    with closing(Log("envoy", tmp_path, console, shows=lambda line: not line.startswith(b"{"))) as log:
        log.feed(b'{"path": "/"}\nwarning\n{"path": "/"}\n')
        log.feed(b'{"path": "/"}\n')
    assert output.getvalue() == b"envoy | warning\n"
    assert (tmp_path / "envoy.log").read_text().count("path") == 3


def test_file_starts_again_when_it_is_full(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "a.log", largest=100)
    for number in range(25):
        file.write(b"%09d\n" % number)
    file.close()
    assert (tmp_path / "a.log").read_text().splitlines()[-1] == "000000024"
    assert (tmp_path / "a.log.1").stat().st_size == 100
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 200


def test_reader_that_goes_away_does_not_stop_the_log(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with (
        os.fdopen(writer, "wb", buffering=0) as output,
        closing(Log("a", tmp_path, Console(1, output=output))) as log,
    ):
        log.feed(b"one\n")
        log.feed(b"two\n")
    assert (tmp_path / "a.log").read_text() == "one\ntwo\n"


def full(folder: Path, name: str) -> None:
    """Has the log of `name` go where no byte has room."""
    (folder / f"{name}.log").symlink_to("/dev/full")


def emptied(folder: Path, log: Log) -> None:
    """Somebody has made room for it."""
    log._file.close()
    (folder / f"{log.name}.log").unlink()
    log._file = LogFile(log.path)


def test_a_full_disk_is_told_once_for_all_files_and_so_is_its_end(tmp_path: Path) -> None:
    output = io.BytesIO()
    console = Console(6, output=output)
    for name in ("points", "promos"):
        full(tmp_path, name)
    with (
        closing(Log("points", tmp_path, console)) as points,
        closing(Log("promos", tmp_path, console)) as promos,
        closing(Log("stack", tmp_path, console)) as own,
    ):
        for number in range(1_000):
            points.feed(b"%d\n" % number)
            promos.feed(b"%d\n" % number)
        own.say("one more")
        told = output.getvalue().decode()
        assert told.count("logs can not be written (No space left on device)") == 1
        assert "points | 999\n" in told, "what is printed has room"
        assert (tmp_path / "stack.log").read_text() == "one more\n"
        for log in (points, promos):
            emptied(tmp_path, log)
            log.feed(b"again\n")
        assert output.getvalue().decode().count("logs are written again") == 1
    assert (tmp_path / "points.log").read_text() == "again\n1000 lines before this one were lost\n"


def test_what_is_printed_into_a_full_file_is_printed_again_later(tmp_path: Path) -> None:
    class Disk(io.BytesIO):
        full = True

        def flush(self) -> None:
            if self.full:
                raise OSError(28, "No space left on device")

    disk = Disk()
    console = Console(1, output=disk)
    console.plain("lost or late")
    disk.full = False
    console.plain("printed")
    assert disk.getvalue().endswith(b"printed\n")


async def test_a_process_runs_and_ends_although_nothing_can_be_noted(tmp_path: Path) -> None:
    """What is noted in `run/` is for others: the supervisor itself needs none of it."""
    folder = DataFolder(tmp_path / "data")
    folder.lock()
    folder.make()
    folder.run.rmdir()
    folder.run.symlink_to("/dev/full")  # no file can be made in it, whoever runs this
    full(folder.logs, "talker")
    output, said = io.BytesIO(), list[str]()
    log = Log("talker", folder.logs, Console(1, output=output))
    command = [sys.executable, "-S", "-c", "print('hello')"]
    program = Program("talker", command, dict(os.environ), Path("/"), ((signal.SIGTERM, 1.0),), restart=False)
    process = Process(program, folder, log, said.append)
    process.start()
    async with asyncio.timeout(20):
        while process.pid is not None or not said:
            process.collect()
            await asyncio.sleep(0.01)
        assert await process.result() == 0
    assert b"hello" in output.getvalue()
    assert any("can not be noted" in words for words in said)
    log.close()
    folder.unlock()
