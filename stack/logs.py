"""One stream of everybody's lines with names before them, and a bounded file for each.

A disk that is full is told once. Lines that find no room are lost, and everything goes on.
"""

import errno
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
        """Append; the caller passes whole lines. Raises OSError when not all of it could be written."""
        if self._size and self._size + len(data) > self._largest:
            self._path.replace(self._path.with_name(self._path.name + ".1"))
            file = self._path.open("ab", buffering=0)
            self._file.close()
            self._file, self._size = file, 0
        written = self._file.write(data) or 0
        self._size += written
        if written < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

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
        self._without_file: dict[str, int] = {}

    def file_failed(self, name: str, error: OSError, lines: int) -> None:
        """Lines of `name` could not be written into its file: told for the first of all files alone."""
        if not self._without_file:
            words = f"logs can not be written ({error.strerror}): lines are lost until they can"
            self.write(OWN_NAME, words.encode() + b"\n")
        self._without_file[name] = self._without_file.get(name, 0) + lines

    def file_works(self, name: str) -> int:
        """The file of `name` takes lines; returns how many were lost before. All are well again: told."""
        lost = self._without_file.pop(name, 0)
        if lost and not self._without_file:
            self.write(OWN_NAME, b"logs are written again\n")
        return lost

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
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                return  # what is printed goes into a file, whose disk may have room again later
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
        try:
            self._file.write(lines)
        except OSError as error:  # the disk is full: that must not end who supervises all others
            self._console.file_failed(self.name, error, lines.count(b"\n"))
        else:
            if lost := self._console.file_works(self.name):
                self.say(f"{lost} lines before this one were lost")
        if self._shows is not None:
            lines = b"".join(line for line in lines.splitlines(keepends=True) if self._shows(line))
        if lines:
            self._console.write(self.name, lines)
