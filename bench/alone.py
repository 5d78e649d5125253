"""PostgreSQL alone: `python -m bench.alone` reads a plan and prints a result.

The statement that Scrip records purchases with, sent by bare psycopg from processes that do nothing else:
the same tables, rows and batch size. Parameters are made beforehand, but for the ids and numbers of the
receipts, so that what is measured is the database.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import resource
import sys
import time
from dataclasses import asdict
from itertools import count
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from bench.loader import Plan, Result, percentile
from bench.wire import BATCH_SIZE, lines
from bench.world import World
from services.common.ids import new_id, utc_now
from services.points.earning import Item
from services.points.purchases import arrays
from services.points.purchases.commands import parameters
from services.points.purchases.purchase import NewPurchase, ReceiptKey
from services.points.purchases.statements import RECORD


def _parameters(world: World, client: int, lots: random.Random) -> dict[str, Any]:
    client_id, now = uuid4(), utc_now()
    news = []
    for place in range(BATCH_SIZE):
        items = [Item(*line, quantity_milli=0, total_minor=line[3] * line[4]) for line in lines(lots)]
        total = sum(one.total_minor for one in items)
        eligible = sum(one.total_minor for one in items if not one.alcohol)
        news.append(
            NewPurchase(
                key=ReceiptKey(client_id, str(client), f"{place:036d}"),
                fingerprint=lots.randbytes(32),
                id=new_id(),
                member_code=lots.choice(world.members).code,
                sold_at=now,
                currency_code="USD",
                total_minor=total,
                eligible_minor=eligible,
                points=eligible // 1_000,
                items=items,
                rule_set_id=1,
            )
        )
    return parameters(news, None)


def _send(plan: Plan, client: int, begin: float, answers: Queue[list[tuple[float, float]]]) -> None:
    """One client: batch after batch until the time is over."""
    given = _parameters(World.read(Path(plan.world)), client, random.Random(f"{plan.run}{client}"))
    done = []
    numbers = count()
    with psycopg.connect(plan.database, autocommit=True) as connection:
        while (now := time.time()) < begin + plan.seconds:
            numbered = [f"{plan.run}-{next(numbers):027d}" for _ in range(BATCH_SIZE)]
            given["purchase_ids"] = arrays.uuids([new_id() for _ in range(BATCH_SIZE)])
            given["receipt_numbers"] = arrays.texts(numbered)
            cursor = psycopg.RawCursor(connection)
            recorded = cursor.execute(RECORD.query, RECORD.ordered(given), prepare=True).fetchall()
            assert len(recorded) == BATCH_SIZE
            done.append((time.time(), time.time() - now))
    answers.put(done)


def run(plan: Plan) -> Result:
    """Sends batches for the time of the plan."""
    began = time.process_time()
    begin = time.time() + plan.warm_up
    answers: Queue[list[tuple[float, float]]] = multiprocessing.Queue()
    clients = [
        multiprocessing.Process(target=_send, args=(plan, number, begin, answers))
        for number in range(plan.clients)
    ]
    for client in clients:
        client.start()
    done = [one for _ in clients for one in answers.get(timeout=plan.warm_up + plan.seconds + 60)]
    for client in clients:
        client.join()
    measured = sorted(lasted for ended, lasted in done if begin <= ended < begin + plan.seconds)
    cpu = time.process_time() - began + _children_cpu()
    return Result(
        per_second=len(measured) / plan.seconds,
        p50_ms=percentile(measured, 50) * 1_000,
        p99_ms=percentile(measured, 99) * 1_000,
        answered=len(done),
        errors={},
        samples=[],
        loader_cpu_us=cpu / max(1, len(done)) * 1e6,
    )


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    print(json.dumps(asdict(run(Plan(**json.load(sys.stdin))))))
