"""What a search of stores costs at 100,000 of them: CPU time of PostgreSQL and of the service's own code.

`python -m bench.search` fills a PostgreSQL of its own and asks for the first page in many ways, each warm.
The aim is 20 ms for each.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg

from services.common import migrations
from services.common.db import Database, fetch_value
from services.common.paging import Page
from services.promos.brands.geography import Place
from services.promos.brands.search import Wanted, search
from services.promos.tests.many_stores import fill
from stack.postgres import Postgres

AIM_MS = 20.0
_WARM, _MEASURED = 5, 20


@dataclass(frozen=True)
class _Known:
    """What there is to search for: a store's name, a rare word of it, and the city that has most stores."""

    name: str
    city: str
    place: Place


def _known(url: str) -> _Known:
    with psycopg.connect(url) as connection:
        name = connection.execute("SELECT name FROM stores ORDER BY id OFFSET 777 LIMIT 1").fetchone()
        city = connection.execute(
            "SELECT city, avg(latitude), avg(longitude) FROM stores"
            " GROUP BY city ORDER BY count(*) DESC LIMIT 1"
        ).fetchone()
    assert name, "the table is filled"
    assert city, "the table is filled"
    return _Known(name[0], city[0], Place(float(city[1]), float(city[2])))


def _with_error(word: str) -> str:
    """Returns a word with two letters exchanged."""
    return word[:2] + word[3] + word[2] + word[4:] if len(word) > 4 else word[:-1]


def _cases(known: _Known) -> dict[str, Wanted]:
    rare, near = known.name.split()[0], {"place": known.place, "meters": 10_000}
    return {
        "everything": Wanted(),
        "a category": Wanted(category="Books"),
        "a common word": Wanted("bakery"),
        "a letter": Wanted("b"),
        "a beginning": Wanted("bak"),
        "a rare word": Wanted(rare),
        "a whole name": Wanted(known.name),
        "a common word with a typing error": Wanted("bakrey"),
        "a rare word with a typing error": Wanted(_with_error(rare)),
        "a common word in the largest city": Wanted(f"bakery {known.city}"),
        "nothing like it": Wanted("xyzzyplugh"),
        "eight common words": Wanted(f"bakery store main street {known.city} 12 toys corner"),
        "open now": Wanted("bakery", open_now=True),
        "near": Wanted(**near),  # type: ignore[arg-type]  # two fields of several types
        "near, a category": Wanted(category="Books", **near),  # type: ignore[arg-type]
        "near, a common word": Wanted("bakery", **near),  # type: ignore[arg-type]
        "near, a rare word": Wanted(rare, **near),  # type: ignore[arg-type]
        "near, with a typing error": Wanted("bakrey", **near),  # type: ignore[arg-type]
        "near, open now": Wanted("bakery", open_now=True, **near),  # type: ignore[arg-type]
    }


def _used(pid: int) -> float:
    """Returns the CPU time of a process in ms."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e6


async def measure(url: str) -> dict[str, float]:
    """Returns the CPU time of each search in ms."""
    db, found = Database(url, pool_size=1), {}
    try:
        pid = int(await db.read(fetch_value, "SELECT pg_backend_pid()"))
        for name, wanted in _cases(_known(url)).items():
            for _ in range(_WARM):
                await db.read(search, Page(20, "", "bench"), wanted)
            before = _used(pid) + time.process_time() * 1_000
            for _ in range(_MEASURED):
                await db.read(search, Page(20, "", "bench"), wanted)
            found[name] = (_used(pid) + time.process_time() * 1_000 - before) / _MEASURED
    finally:
        await db.close()
    return found


def main() -> None:
    """Fills, measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m bench.search", description=__doc__)
    parser.add_argument("--stores", type=int, default=100_000)
    stores: int = parser.parse_args().stores
    with tempfile.TemporaryDirectory() as folder:
        postgres = Postgres(Path(folder) / "postgres", fsync=False)
        postgres.start()
        try:
            postgres.create_database("promos")
            url = postgres.url("promos")
            migrations.upgrade("promos", url)
            fill(url, stores)
            found = asyncio.run(measure(url))
        finally:
            postgres.stop()
    print(f"| first page of 20 among {stores:,} stores | CPU |\n|---|---|")
    for name, cost in found.items():
        print(f"| {name} | {cost:.1f} ms{'' if cost <= AIM_MS else f' (aim {AIM_MS:g})'} |")


if __name__ == "__main__":
    main()
