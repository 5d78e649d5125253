"""Operators' commands of a service, beside a stack that runs or on the data of one that does not."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from stack import services
from stack.errors import StackError
from stack.postgres import Postgres
from stack.redis import Redis
from stack.secrets import load_or_create
from stack.services import SERVICES, Wiring, base_environment
from stack.settings import ROOT, Settings
from stack.state import DataFolder

COMMANDS = {"check-books": "points", "rotate-keys": "identity"}
"""The commands, and the service that each is of."""


def operate(settings: Settings, command: str) -> int:
    """Runs a command of a service and returns its exit status, 0 when all is well.

    Raises StackError when there are no data, or nothing to run it on.
    """
    service, folder = COMMANDS[command], DataFolder(settings.data_folder)
    if not folder.path.exists():
        raise StackError(f"there are no data in {folder.path}: `make up` makes them")
    if folder.owner() is not None:
        return _run(service, command, _environment_of(folder, service))
    with _stores(settings, folder) as wiring:
        secrets = load_or_create(folder.secrets)
        environment = services.environment(settings, secrets, wiring, service)
        return _run(service, command, environment | settings.extra_environment(service))


def _run(service: str, command: str, environment: Mapping[str, str]) -> int:
    arguments = [sys.executable, "-m", f"services.{service}", command]
    ended = subprocess.run(arguments, env=dict(environment), cwd=ROOT, check=False)
    return 0 if ended.returncode == 0 else 1


def _environment_of(folder: DataFolder, service: str) -> Mapping[str, str]:
    """Returns the environment of a process of the service, which may have been started with any options."""
    for name, process in folder.processes().items():
        if name.partition("-")[0] == service and process.alive():
            given = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
            pairs = (os.fsdecode(pair).partition("=") for pair in given if pair)
            # What is set for this command alone wins.
            own = {name: value for name, value in base_environment().items() if name.startswith("SCRIP_")}
            return {key: value for key, _, value in pairs} | own
    raise StackError(f"no process of {service} runs yet: see `make status`")


@contextmanager
def _stores(settings: Settings, folder: DataFolder) -> Iterator[Wiring]:
    """PostgreSQL on the data, and a Redis in which nothing is, for the time of a `with` block."""
    folder.lock()
    try:
        folder.make()
        folder.stop_left_behind()
        postgres, redis = Postgres(folder.postgres), Redis(folder.redis)
        if not postgres.data.exists():
            raise StackError(f"there are no data in {folder.path}: `make up` makes them")
        try:
            redis.start()
            postgres.start()
            databases = {service: postgres.url(service) for service in SERVICES}
            yield Wiring(databases, redis.url, services.targets(settings))
        finally:
            postgres.stop()
            redis.stop()
    finally:
        folder.unlock()
