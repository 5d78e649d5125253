"""Log lines: names before them, whole, bounded on disk."""

import io
import os
from contextlib import closing
from pathlib import Path

from stack.logs import LONGEST_LINE, Console, Log, LogFile


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
