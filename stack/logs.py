"""One stream of everybody's lines with names before them, and a bounded file for each."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

LARGEST_FILE = 8 * 1024 * 1024
LONGEST_LINE = 64 * 1024
COLOURS = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)
OWN_NAME = "stack"


class LogFile:
    """A file that starts again when it is full, keeping one predecessor as `<name>.log.1`."""

    def __init__(self, path: Path, largest: int = LARGEST_FILE) -> None:
        self._path = path
        self._largest = largest
        self._file: BinaryIO = path.open("ab", buffering=0)
        self._size = self._file.tell()

    def write(self, data: bytes) -> None:
        """Append; the caller passes whole lines."""
        if self._size and self._size + len(data) > self._largest:
            self._file.close()
            self._path.replace(self._path.with_name(self._path.name + ".1"))
            self._file = self._path.open("ab", buffering=0)
            self._size = 0
        self._file.write(data)
        self._size += len(data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Console:
    """Standard output, with names aligned, and coloured on a terminal."""

    def __init__(self, width: int, *, quiet: bool = False, output: BinaryIO | None = None) -> None:
        self._width = width
        self._quiet = quiet
        self._output: BinaryIO | None = output or sys.stdout.buffer
        self._terminal = self._output.isatty()
        self._colour = self._terminal and "NO_COLOR" not in os.environ
        self._prefixes: dict[str, bytes] = {}

    def write(self, name: str, lines: bytes) -> None:
        """Print whole lines of `name`, each ending with a newline."""
        if not self._quiet or name == OWN_NAME:
            prefix = self._prefix(name)
            self._print(prefix + lines[:-1].replace(b"\n", b"\n" + prefix) + b"\n")

    def plain(self, text: str) -> None:
        """Print text as it is."""
        self._print(text.encode() + b"\n")

    def _print(self, data: bytes) -> None:
        if self._output is None:
            return
        try:
            self._output.write(data)
            self._output.flush()
        except OSError:
            # The reader has gone. The files have every line, so the stack goes on; but a terminal that
            # was closed means the end, and `make` in between may have kept that signal to itself.
            self._output = None
            if self._terminal:
                os.kill(os.getpid(), signal.SIGHUP)

    def _prefix(self, name: str) -> bytes:
        if name not in self._prefixes:
            text = f"{name:<{self._width}} |"
            colour = COLOURS[len(self._prefixes) % len(COLOURS)]
            self._prefixes[name] = (f"\x1b[{colour}m{text}\x1b[0m " if self._colour else f"{text} ").encode()
        return self._prefixes[name]


class Log:
    """The output of one process. Bytes come in as they are read, whole lines go out."""

    def __init__(
        self, name: str, folder: Path, console: Console, *, shows: Callable[[bytes], bool] | None = None
    ) -> None:
        """`shows` tells which lines go to the console too; all do when it is not given."""
        self.name = name
        self.path = folder / f"{name}.log"
        self.last_line = ""
        self._file = LogFile(self.path)
        self._console = console
        self._shows = shows
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take output in pieces of any size; a line without end is cut."""
        data = self._rest + data
        end = data.rfind(b"\n") + 1
        if len(data) - end > LONGEST_LINE:
            data += b"\n"
            end = len(data)
        self._rest = data[end:]
        if end:
            self._write(data[:end])

    def end(self) -> None:
        """The process ended: print what it left without a newline."""
        if self._rest:
            self._write(self._rest + b"\n")
            self._rest = b""

    def say(self, text: str) -> None:
        """One line of our own."""
        self._write(text.encode() + b"\n")

    def close(self) -> None:
        """Print the rest and close the file."""
        self.end()
        self._file.close()

    def _write(self, lines: bytes) -> None:
        self.last_line = (
            lines[lines.rfind(b"\n", 0, -1) + 1 : -1].decode(errors="replace").strip() or self.last_line
        )
        self._file.write(lines)
        if self._shows is not None:
            lines = b"".join(line for line in lines.splitlines(keepends=True) if self._shows(line))
        if lines:
            self._console.write(self.name, lines)
