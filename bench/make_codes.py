"""Making codes: `python -m bench.make_codes` has promos' worker make sets beside PostgreSQL's own COPY.

In turns, so that what comes and goes on the machine meets all alike: a set is created over REST and made by
the worker; the same rows are copied into the same table, with its indexes, of a database beside; and for some
seconds codes are made the usual way: one at a time, with the ORM, after asking whether it exists. How long a
read takes while codes are made, and how much memory the worker needs at most, is reported too.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from uuid import UUID

import psycopg
from sqlalchemy import create_engine, exists, select
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from bench import edge, world
from bench.children import BenchError
from bench.replay import MOST_MEMORY, Memory
from services.common.codes import ALPHABET
from services.common.ids import new_id
from services.common.migrations import upgrade
from services.promos.codes.tables import Code
from stack.rest import Rest
from stack.settings import ROOT
from stack.testing import RunningStack, running_stack

CODES, ROUNDS, USUAL_SECONDS = 100_000, 3, 5.0
READS = 100
MAKING_SECONDS = 1_800
DATABASE = "bench_codes"
WORKER = "promos-worker"
_COLUMNS = "id, code_set_id, code, shuffle, state, uses_allowed"
_PIECE = 1 << 20


@dataclass
class Figures:
    """Codes a second of each, round by round, and how long reads took, in milliseconds."""

    scrip: list[float] = field(default_factory=list)
    copy: list[float] = field(default_factory=list)
    usual: list[float] = field(default_factory=list)
    reads_alone: list[float] = field(default_factory=list)
    reads_beside: list[float] = field(default_factory=list)


async def made_by_scrip(rest: Rest, token: str, codes: int) -> str:
    """Has a set made and returns its id once it has all its codes."""
    body = {"name": "Bench", "quantity": codes, "benefit": {"percent_off": 10}}
    made = await rest.ok("POST", "/v1/code-sets", body, token=token, key=str(new_id()))
    code_set_id: str = made["code_set"]["id"]
    until = time.monotonic() + MAKING_SECONDS
    while time.monotonic() < until:
        shown = await rest.ok("GET", f"/v1/code-sets/{code_set_id}", token=token)
        if shown["code_set"]["state"] == "CODE_SET_STATE_READY":
            return code_set_id
        await asyncio.sleep(0.1)
    raise BenchError(f"a set of {codes} codes was not made within {MAKING_SECONDS} s")


async def milliseconds_of_reading(rest: Rest, token: str) -> float:
    """Returns how long a member waits for the own balance."""
    began = time.perf_counter()
    await rest.ok("GET", "/v1/members/me/points", token=token)
    return (time.perf_counter() - began) * 1_000


def seconds_of_making(database: str, code_set_id: str) -> float:
    """Returns how long a set took, from its creation to its last code."""
    with psycopg.connect(database) as connection:
        row = connection.execute(
            "SELECT extract(epoch FROM made_at - created_at)::float FROM code_sets WHERE id = %s",
            [UUID(code_set_id)],
        ).fetchone()
    assert row is not None
    return float(row[0])


def rows_of(database: str, code_set_id: str) -> Sequence[bytes]:
    """Returns the rows of a set's codes, as COPY writes and reads them, in pieces."""
    query = f"COPY (SELECT {_COLUMNS} FROM codes WHERE code_set_id = '{UUID(code_set_id)}') TO STDOUT"  # noqa: S608
    with psycopg.connect(database) as connection, connection.cursor().copy(query.encode()) as copy:
        text = b"".join(bytes(piece) for piece in copy)
    return [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]


def seconds_of_copy(database: str, code_set_id: str, rows: Sequence[bytes]) -> float:
    """Returns how long PostgreSQL's own COPY of these rows takes, in one transaction."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO code_sets (id, purpose, percent_off) VALUES (%s, 'HANDED_OUT', 10)",
            [UUID(code_set_id)],
        )
        began = time.perf_counter()
        with connection.cursor().copy(f"COPY codes ({_COLUMNS}) FROM STDIN".encode()) as copy:
            for piece in rows:
                copy.write(piece)
        return time.perf_counter() - began


def usual_per_second(engine: Engine, code_set_id: str, seconds: float) -> float:
    """Returns how many codes a second are made one at a time, as shops' own generators do."""
    made, until = 0, time.perf_counter() + seconds
    began = time.perf_counter()
    while time.perf_counter() < until:
        with Session(engine) as session:
            text = "".join(secrets.choice(ALPHABET) for _ in range(12))
            if session.scalar(select(exists().where(Code.code == text))):
                continue
            session.add(
                Code(
                    id=new_id(),
                    code_set_id=UUID(code_set_id),
                    code=text,
                    shuffle=0,
                    state="BEARER",
                    uses_allowed=1,
                )
            )
            session.commit()
        made += 1
    return made / (time.perf_counter() - began)


def beside(database: str) -> str:
    """Makes a database with the same tables on the same server; returns its URL."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE}".encode())
    url = database.replace("/promos?", f"/{DATABASE}?")
    assert url != database
    upgrade("promos", url)
    return url


async def _run(stack: RunningStack, codes: int, rounds: int) -> None:
    found, memory, figures = stack.endpoints, Memory(stack, WORKER), Figures()
    database = found.databases["promos"]
    other = await asyncio.to_thread(beside, database)
    engine = create_engine(other.replace("postgresql:", "postgresql+psycopg:", 1))
    async with Rest(found.edge_url) as rest:
        admin = await rest.log_in_staff(found.admin_user_name, found.admin_password)
        _, member = await rest.register(admin, "+14152000000", "Ada Lovelace")
        for _ in range(rounds):
            for _ in range(READS):
                figures.reads_alone.append(await milliseconds_of_reading(rest, member))
            making = asyncio.ensure_future(made_by_scrip(rest, admin, codes))
            while not making.done():
                figures.reads_beside.append(await milliseconds_of_reading(rest, member))
                memory.look()
                await asyncio.sleep(0.02)
            code_set_id = await making
            figures.scrip.append(codes / seconds_of_making(database, code_set_id))
            rows = await asyncio.to_thread(rows_of, database, code_set_id)
            copied = await asyncio.to_thread(seconds_of_copy, other, code_set_id, rows)
            figures.copy.append(codes / copied)
            usual = await asyncio.to_thread(usual_per_second, engine, code_set_id, USUAL_SECONDS)
            figures.usual.append(usual)
    engine.dispose()
    _print(codes, figures, memory.most)


def _print(codes: int, figures: Figures, most_memory: int) -> None:
    scrip, copy, usual = median(figures.scrip), median(figures.copy), median(figures.usual)
    of_copy = median(one / other for one, other in zip(figures.scrip, figures.copy, strict=True))
    of_usual = median(one / other for one, other in zip(figures.scrip, figures.usual, strict=True))
    print(
        f"{len(figures.scrip)} sets of {codes:,} codes: Scrip {scrip:,.0f} codes/s;"
        f" PostgreSQL's COPY of the same rows {copy:,.0f}/s, of which Scrip has {of_copy:.0%}"
        f" (must be 50 %, would like 70 %); the usual way {usual:,.0f}/s, Scrip {of_usual:.0f} times"
        f" (must be 20); GetBalance took {median(figures.reads_alone):.1f} ms alone and"
        f" {median(figures.reads_beside):.1f} ms while codes were made; the worker had"
        f" {most_memory / 2**20:.0f} MiB at most"
        f" ({'within' if most_memory < MOST_MEMORY else 'MORE THAN'} {MOST_MEMORY >> 20} MiB)"
    )


def main() -> None:
    """Makes codes on a stack of its own."""
    parser = argparse.ArgumentParser(prog="python -m bench.make_codes", description="Makes sets of codes.")
    parser.add_argument("--codes", type=int, default=CODES, help=f"in a set, {CODES:,} by default")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"sets, {ROUNDS} by default")
    options = parser.parse_args()
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="codes-", dir=ROOT / "build") as folder:
        generous = Path(folder) / "envoy.yaml"
        edge.write_generous(generous)
        with running_stack(Path(folder) / "stack", edge_config=generous, env_identity=world.LIMITS) as stack:
            try:
                asyncio.run(_run(stack, options.codes, options.rounds))
            except BenchError as error:
                print(f"make_codes: {error}", file=sys.stderr)
                raise SystemExit(1) from None


if __name__ == "__main__":
    main()
