"""A service's process: its command line, its event loop, its signals."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

import uvloop
from pydantic import ValidationError

from services.common.settings import ServiceSettings
from services.common.telemetry import configure_logging

S = TypeVar("S", bound=ServiceSettings)
Run = Callable[[S, asyncio.Event], Awaitable[None]]

log = logging.getLogger(__name__)


def main(name: str, settings_type: type[S], serve: Run[S], work: Run[S] | None = None) -> None:
    """Runs `python -m services.<name> [serve|worker|migrate]`."""
    commands = ["serve", "migrate", *(["worker"] if work else [])]
    parser = argparse.ArgumentParser(prog=f"python -m services.{name}")
    parser.add_argument("command", nargs="?", default="serve", choices=commands)
    command = parser.parse_args().command
    try:
        settings = settings_type()  # type: ignore[call-arg]  # read from the environment
    except ValidationError as error:
        missing = "; ".join(f"SCRIP_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())
        raise SystemExit(f"{name} can not start, its settings are not right: {missing}") from None
    configure_logging(settings.log_level)
    if command == "migrate":
        from services.common import migrations  # noqa: PLC0415  # what serves needs no Alembic

        migrations.upgrade(name, settings.database_url)
        return
    # What was imported stays for ever: looking at it again and again costs each call a tenth.
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    run = work if command == "worker" and work else serve
    uvloop.run(_until_signalled(run, settings))


async def _until_signalled(run: Run[S], settings: S) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run(settings, stop)
    log.info("stopped")
