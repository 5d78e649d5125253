"""A service's process: its command line, its event loop, its signals."""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import logging
import signal
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import uvloop
from pydantic import ValidationError

from services.common.settings import ServiceSettings
from services.common.telemetry import configure_logging

S = TypeVar("S", bound=ServiceSettings)
Run = Callable[[S, asyncio.Event], Awaitable[None]]

log = logging.getLogger(__name__)


def main(name: str, settings_type: type[S], commands: Mapping[str, str]) -> None:
    """Runs `python -m services.<name> [command]`: the first command when none is given, or `migrate`.

    Each command is written as `module:function`, so that a process loads only what it runs.
    """
    parser = argparse.ArgumentParser(prog=f"python -m services.{name}")
    first = next(iter(commands))
    parser.add_argument("command", nargs="?", default=first, choices=[*commands, "migrate"])
    command = parser.parse_args().command
    try:
        settings = settings_type()  # type: ignore[call-arg]  # read from the environment
    except ValidationError as error:
        faults = "; ".join(_fault(details["loc"], details["msg"]) for details in error.errors())
        raise SystemExit(f"{name} can not start, its settings are not right: {faults}") from None
    configure_logging(settings.log_level)
    if command == "migrate":
        from services.common import migrations  # noqa: PLC0415  # what serves needs no Alembic

        migrations.upgrade(name, settings.database_url)
        return
    module, _, function = commands[command].partition(":")
    run: Run[S] = getattr(importlib.import_module(module), function)
    # What was imported stays for ever: looking at it again and again costs each call a tenth.
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    uvloop.run(_until_signalled(run, settings))


def _fault(location: tuple[int | str, ...], message: str) -> str:
    """Returns what is wrong with a variable, or with several together."""
    return f"SCRIP_{str(location[0]).upper()}: {message}" if location else message


async def _until_signalled(run: Run[S], settings: S) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run(settings, stop)
    log.info("stopped")
