"""Files in a folder of this machine, which all processes of the service share."""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Collection
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

from services.common.errors import unavailable
from services.common.threads import in_own_thread

log = logging.getLogger(__name__)

T = TypeVar("T")

_SECONDS = 5.0
_AT_ONCE = 1_000


class Folder:
    """A storage in a folder, which is made with the first file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, name: str, data: bytes) -> None:
        """Keeps a file; readers see all of it or nothing, also when the machine stops meanwhile."""

        def write() -> None:
            self._folder.mkdir(parents=True, exist_ok=True)
            unfinished = self._folder / f"unfinished.{secrets.token_hex(8)}"
            try:
                with unfinished.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                unfinished.replace(self._folder / name)
            except BaseException:
                unfinished.unlink(missing_ok=True)
                raise
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

        await _run(write)

    async def get(self, name: str) -> bytes | None:
        """Returns a file, None when there is none."""

        def read() -> bytes | None:
            try:
                return (self._folder / name).read_bytes()
            except FileNotFoundError:
                return None

        return await _run(read)

    async def delete(self, names: Collection[str]) -> None:
        """Removes files."""

        def remove() -> None:
            for name in names:
                (self._folder / name).unlink(missing_ok=True)

        await _run(remove)

    async def older_than(self, age: timedelta) -> AsyncIterator[Collection[str]]:
        """Returns the names of old files, and of what was left unfinished."""
        before = time.time() - age.total_seconds()
        names = iter(await _run(self._names))
        while some := list(islice(names, _AT_ONCE)):
            yield await _run(partial(self._older, some, before))

    def _names(self) -> Collection[str]:
        try:
            return [path.name for path in self._folder.iterdir()]
        except FileNotFoundError:
            return []

    def _older(self, names: Collection[str], before: float) -> Collection[str]:
        return [name for name in names if self._is_older(name, before)]

    def _is_older(self, name: str, before: float) -> bool:
        try:
            return (self._folder / name).stat().st_mtime < before
        except FileNotFoundError:
            return False


async def _run(work: Callable[[], T]) -> T:
    try:
        return await in_own_thread(work, seconds=_SECONDS)
    except OSError as error:  # TimeoutError is one
        log.warning("the folder of files does not do what it is asked: %s", type(error).__name__)
        raise unavailable("storage") from None
