"""Dumps of whole platforms: the databases as plain SQL, and what callers must remember as JSON."""

from __future__ import annotations

import gzip
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from stack import binaries
from stack.postgres import ROLE, Postgres
from stack.services import SERVICES
from stack.state import DataFolder

FOLDER = Path(__file__).parent
DUMP_SECONDS = 60.0

MovedAlong = Mapping[str, Mapping[str, Sequence[str]]]
"""Columns by database and table whose moments count from the dump, and not from the calendar."""


@dataclass(frozen=True)
class Dump:
    """A platform as it was at one moment."""

    name: str
    content: dict[str, Any]
    """What callers remember: people, calls with their responses, secrets; see README.md."""

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return FOLDER / self.name

    @property
    def made_at(self) -> datetime:
        """When it was made."""
        return datetime.fromisoformat(self.content["made_at"])


def all_dumps() -> list[Dump]:
    """Returns all dumps, the newest first."""
    found = [read(path.parent.name) for path in FOLDER.glob("*/content.json")]
    return sorted(found, key=lambda dump: dump.made_at, reverse=True)


def read(name: str) -> Dump:
    """Returns the dump of this name."""
    return Dump(name, json.loads((FOLDER / name / "content.json").read_text()))


def write(name: str, databases: Mapping[str, str], content: Mapping[str, Any]) -> int:
    """Writes a dump of the databases, by their libpq URLs. Returns its size in bytes."""
    folder = FOLDER / name
    folder.mkdir(exist_ok=True)
    for service, url in databases.items():
        packed = gzip.compress(_pg_dump(url), 9, mtime=0)
        (folder / f"{service}.sql.gz").write_bytes(packed)
    (folder / "content.json").write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
    return sum(path.stat().st_size for path in folder.iterdir())


def restore(dump: Dump, data: Path, addresses: Mapping[str, str]) -> None:
    """Fills a new data folder of the stack with the dump, as if the stack had been stopped just now.

    `addresses` are those of others that the dump has, and where these listen now.
    """
    folder = DataFolder(data)
    data.mkdir(parents=True)
    folder.secrets.write_text(json.dumps(dump.content["secrets"]))
    server = Postgres(folder.postgres, fsync=False)
    server.start()
    try:
        server.create_databases(SERVICES)
        for service in SERVICES:
            script = gzip.decompress((dump.folder / f"{service}.sql.gz").read_bytes()).decode()
            for then, now in addresses.items():
                script = script.replace(then, now)
            server.psql(f"SET SESSION AUTHORIZATION {ROLE};\n{script}", service)
            with psycopg.connect(server.url(service)) as connection:
                _move_along(connection, dump.content["moved_along"].get(service, {}), dump.made_at)
    finally:
        server.stop()


def _pg_dump(url: str) -> bytes:
    command = [str(binaries.postgres_folder() / "pg_dump"), "--no-owner", "--no-privileges", url]
    environment = {"LC_ALL": "C"}  # no PG* variable of the caller
    done = subprocess.run(command, env=environment, capture_output=True, timeout=DUMP_SECONDS, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"pg_dump failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def _move_along(
    connection: psycopg.Connection, columns: Mapping[str, Sequence[str]], made_at: datetime
) -> None:
    """Moves moments by the age of the dump: what was good for a minute more is so again."""
    age: timedelta = datetime.now(UTC) - made_at
    for table, names in columns.items():
        moved = sql.SQL(", ").join(
            sql.SQL("{0} = {0} + {1}").format(sql.Identifier(name), sql.Literal(age)) for name in names
        )
        connection.execute(sql.SQL("UPDATE public.{} SET {}").format(sql.Identifier(table), moved))
