"""The queue of deliveries: its plans at size, its leases, and what a worker that is killed leaves behind."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from services.common.caller import NOBODY
from services.common.db import Connection, Database, execute, fetch_value
from services.common.errors import unavailable
from services.common.ids import new_id, utc_now
from services.common.paging import Page
from services.common.sealing import Sealer
from services.common.webhooks import queue
from services.common.webhooks.deliveries import DELIVERIES, redeliver_failed
from services.common.webhooks.dispatcher import Dispatcher, forget_old
from services.common.webhooks.events import Event, Payload
from services.common.webhooks.http_sender import Outcome
from services.common.webhooks.signing import as_text
from services.promos.webhooks import NewEvent, queue_events
from stack.settings import ROOT
from tests.databases import new_database
from tests.inprocess import Platform, eventually
from tests.plans import indexes_used, rows_read
from tests.receiver import NOTHING, Receiver

KEY = secrets.token_bytes(32)
SEALER = Sealer(KEY, b"webhooks")
SECRET = secrets.token_bytes(32)
ROWS = 30_000


@pytest.fixture(scope="module")
async def own(platform: Platform) -> AsyncIterator[Database]:
    """A database of promos that no worker looks at."""
    url = await new_database(platform.postgres, "promos", "webhook_queue")
    database = Database(url, pool_size=5)
    yield database
    await database.close()


@pytest.fixture(autouse=True)
async def empty(own: Database) -> None:
    """Nothing is left of the test before."""
    await own.run(execute, "TRUNCATE webhook_endpoints, webhook_deliveries, webhook_attempts")


async def endpoint(db: Database, url: str = "https://shop.example/", owner: UUID | None = None) -> UUID:
    """Returns a new endpoint."""
    made = new_id()
    await db.run(
        execute,
        """
        INSERT INTO webhook_endpoints (id, owner_id, slot, url, kinds, secret)
        VALUES (%(id)s, %(owner)s, 1, %(url)s, '{claim.created}', %(secret)s)
        """,
        id=made,
        owner=owner or new_id(),
        url=url,
        secret=SEALER.encrypt(SECRET),
    )
    return made


async def fill(db: Database, endpoint_id: UUID, rows: int, *, state: str = "PENDING") -> None:
    """Gives an endpoint many deliveries, a second apart; of those in the past one in a hundred is a ping."""
    for first in range(1, rows + 1, 5_000):  # a statement has ten seconds, and a machine may be busy
        await db.run(
            execute,
            """
            INSERT INTO webhook_deliveries (
              endpoint_id, event_id, kind, subject_id, occurred_at, created_at, state,
              next_attempt_at, completed_at
            )
            SELECT %(endpoint)s, gen_random_uuid(),
              CASE WHEN n %% 100 = 0 THEN 'ping' ELSE 'claim.created' END,
              gen_random_uuid(), now(), now() - n * interval '1 s', %(state)s,
              CASE WHEN %(state)s = 'PENDING' THEN now() - n * interval '1 s' END,
              CASE WHEN %(state)s <> 'PENDING' THEN now() END
            FROM generate_series(%(first)s::int, %(last)s::int) AS n
            """,
            endpoint=endpoint_id,
            first=first,
            last=min(first + 4_999, rows),
            state=state,
        )


async def count(db: Database, condition: str) -> int:
    """Returns how many deliveries there are of which something holds."""
    statement: Any = f"SELECT count(*) FROM webhook_deliveries WHERE {condition}"
    return int(await db.read(fetch_value, statement))


async def analyze(db: Database) -> None:
    """The planner knows how many rows there are."""
    await db.run_autocommit(execute, "ANALYZE webhook_deliveries, webhook_endpoints, webhook_attempts")


async def test_a_long_queue_of_one_endpoint_costs_the_others_nothing(own: Database) -> None:
    busy = await endpoint(own)
    await fill(own, busy, ROWS)
    others = [await endpoint(own) for _ in range(20)]
    for other in others:
        await fill(own, other, 2)
    await analyze(own)
    assert await rows_read(own, queue.take_due, most=50) < 1_000
    taken = await own.run(queue.take_due, most=50)
    assert sum(one.endpoint_id == busy for one in taken) <= 4
    assert await count(own, "sending_until IS NOT NULL") >= 44  # with those that the plan took


async def test_what_is_being_sent_counts_and_an_endpoint_that_fails_gets_one_at_a_time(own: Database) -> None:
    well, failing = await endpoint(own), await endpoint(own)
    await own.run(queue.note_failure, failing)
    for one in (well, failing):
        await fill(own, one, 20)
    first = await own.run(queue.take_due, most=50)
    assert sum(one.endpoint_id == well for one in first) == 4
    assert sum(one.endpoint_id == failing for one in first) == 1
    assert await own.run(queue.take_due, most=50) == []
    [done] = [one for one in first if one.endpoint_id == failing]
    await finish(own, done, "SUCCEEDED")
    await own.run(queue.note_success, failing)
    assert [one.endpoint_id for one in await own.run(queue.take_due, most=50)] == [failing] * 4


async def finish(db: Database, delivery: queue.DueDelivery, state: queue.DeliveryState) -> None:
    """An attempt has ended."""
    await db.run(
        queue.finish_attempt,
        delivery,
        state=state,
        wait_seconds=5,
        started_at=utc_now(),
        duration_ms=1,
        status=200,
        error=None,
    )


async def test_many_workers_take_each_delivery_once(own: Database) -> None:
    for _ in range(30):
        await fill(own, await endpoint(own), 4)
    taken = await asyncio.gather(*(own.run(queue.take_due, most=7) for _ in range(40)))
    found = [(one.endpoint_id, one.event_id) for several in taken for one in several]
    assert len(found) == len(set(found))
    while more := await own.run(queue.take_due, most=50):
        found += [(one.endpoint_id, one.event_id) for one in more]
    assert len(found) == len(set(found)) == 120


async def test_a_worker_that_took_too_long_changes_nothing_any_more(own: Database) -> None:
    await fill(own, await endpoint(own), 1)
    [late] = await own.run(queue.take_due, most=1)
    await own.run(execute, "UPDATE webhook_deliveries SET next_attempt_at = now(), sending_until = now()")
    [again] = await own.run(queue.take_due, most=1)
    assert again.attempts == late.attempts + 1
    await finish(own, late, "SUCCEEDED")
    assert await count(own, "state = 'PENDING'") == 1
    await finish(own, again, "FAILED")
    await finish(own, late, "SUCCEEDED")
    await own.run(queue.postpone, again, seconds=1)
    assert await count(own, "state = 'FAILED' AND attempts = 2") == 1


async def test_a_page_of_deliveries_reads_a_page_and_no_more(own: Database) -> None:
    busy, other = await endpoint(own), await endpoint(own)
    await fill(own, busy, ROWS, state="SUCCEEDED")
    await fill(own, busy, 3, state="FAILED")
    await fill(own, other, ROWS, state="FAILED")
    await analyze(own)
    filters: list[dict[str, Any]] = [
        {},
        {"state": "FAILED"},
        {"kind": "ping"},
        {"created_from": utc_now() - timedelta(seconds=60)},
        {"created_until": utc_now() - timedelta(seconds=ROWS - 60)},
    ]
    for wanted in filters:
        for order in ("created_at desc", "created_at"):
            page = partial(
                DELIVERIES.page, page=Page(50, "", "t"), order_by=order, endpoint_id=busy, **wanted
            )
            assert await rows_read(own, page) <= 60, (wanted, order)


async def test_the_chore_and_sending_again_use_their_indexes(own: Database) -> None:
    busy = await endpoint(own)
    await fill(own, busy, ROWS, state="SUCCEEDED")
    await analyze(own)
    assert await indexes_used(own, queue.forget_old_deliveries) >= {"ix_webhook_deliveries_created_at"}
    since, owner = utc_now() - timedelta(days=1), await own.read(_owner, busy)
    queued = await own.run(redeliver_failed, actor=NOBODY, owner_id=owner, endpoint_id=busy, since=since)
    assert queued == 0


async def _owner(connection: Connection, endpoint_id: UUID) -> UUID:
    owner: UUID = await fetch_value(
        connection, "SELECT owner_id FROM webhook_endpoints WHERE id = %(id)s", id=endpoint_id
    )
    return owner


async def test_secrets_that_sign_no_more_are_removed(own: Database) -> None:
    ended, signing = await endpoint(own), await endpoint(own)
    for one, hours in ((ended, -1), (signing, 1)):
        await own.run(
            execute,
            """
            UPDATE webhook_endpoints
            SET old_secret = secret, old_secret_expires_at = now() + make_interval(hours => %(hours)s)
            WHERE id = %(id)s
            """,
            id=one,
            hours=hours,
        )
    await forget_old(own)
    kept = "SELECT array_agg(id) FROM webhook_endpoints WHERE old_secret IS NOT NULL"
    assert await own.read(fetch_value, kept) == [signing]


async def test_old_deliveries_and_deleted_webhooks_are_removed_and_nothing_else(own: Database) -> None:
    kept, deleted, just = await endpoint(own), await endpoint(own), await endpoint(own)
    for one in (kept, deleted, just):
        await fill(own, one, 1_500, state="SUCCEEDED")
    await own.run(
        execute,
        """
        UPDATE webhook_deliveries SET created_at = now() - interval '31 d'
        WHERE endpoint_id = %(id)s AND kind = 'ping'
        """,
        id=kept,
    )
    for one, ago in ((deleted, 3_600), (just, 0)):
        await own.run(
            execute,
            """
            UPDATE webhook_endpoints SET deleted_at = now() - make_interval(secs => %(ago)s), slot = NULL
            WHERE id = %(id)s
            """,
            id=one,
            ago=ago,
        )
    await forget_old(own)
    assert await count(own, f"endpoint_id = '{kept}'") == 1_485
    assert await count(own, f"endpoint_id = '{deleted}'") == 0
    assert await count(own, f"endpoint_id = '{just}'") == 1_500
    assert await own.read(fetch_value, "SELECT count(*) FROM webhook_endpoints") == 2


class Taking:
    """A sender whose receivers take all, or fail by a defect."""

    def __init__(self, error: Exception | None = None) -> None:
        self.bodies: list[bytes] = []
        self._error = error

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        """Keeps what is sent."""
        self.bodies.append(body)
        if self._error:
            raise self._error
        return Outcome(200)


async def dispatched(db: Database, sender: Taking, payload: Payload) -> None:
    """One round of a dispatcher, to its end."""
    dispatcher = Dispatcher(db, sender, SEALER, {"claim.created": payload})
    await dispatcher.send_due()
    await asyncio.gather(*dispatcher._tasks)


async def test_a_payload_that_can_not_be_built_now_waits_without_losing_a_try(own: Database) -> None:
    await fill(own, await endpoint(own), 1)

    async def away(event: Event) -> Mapping[str, Any]:
        raise unavailable("identity")

    sender = Taking()
    await dispatched(own, sender, away)
    assert sender.bodies == []
    assert await count(own, "attempts = 0 AND tries = 0 AND state = 'PENDING'") == 1
    assert await count(own, "next_attempt_at > now() AND sending_until IS NULL") == 1


async def test_a_defect_counts_as_an_attempt_and_says_nothing_about_the_receiver(own: Database) -> None:
    webhook = await endpoint(own)
    await fill(own, webhook, 2)

    async def broken(event: Event) -> Mapping[str, Any]:
        raise ValueError

    async def well(event: Event) -> Mapping[str, Any]:
        return {"claim_id": event.subject_id}

    await dispatched(own, Taking(), broken)
    await own.run(execute, "UPDATE webhook_deliveries SET next_attempt_at = now()")
    await dispatched(own, Taking(ValueError()), well)
    errors = "SELECT array_agg(error || number) FROM webhook_attempts"
    assert sorted(await own.read(fetch_value, errors)) == ["INTERNAL1", "INTERNAL1", "INTERNAL2", "INTERNAL2"]
    failing = "SELECT count(*) FROM webhook_endpoints WHERE failing_since IS NOT NULL"
    assert await own.read(fetch_value, failing) == 0


async def test_a_kind_that_only_a_newer_worker_knows_waits_for_it(own: Database) -> None:
    await fill(own, await endpoint(own), 1)
    sender = Taking()
    dispatcher = Dispatcher(own, sender, SEALER, {})
    await dispatcher.send_due()
    await asyncio.gather(*dispatcher._tasks)
    assert await count(own, "attempts = 0 AND state = 'PENDING' AND next_attempt_at > now()") == 1


@pytest.mark.covers("C6")
async def test_what_a_killed_worker_was_sending_is_sent_again_under_the_same_id(
    own: Database, platform: Platform
) -> None:
    receiver, owner, claim = Receiver(responses=[NOTHING]), new_id(), new_id()
    async with receiver.listening():
        await endpoint(own, receiver.url, owner)
        async with worker(platform) as first:
            # A kind that this worker's payloads know; a ping needs no other feature.
            await own.run(execute, "UPDATE webhook_endpoints SET kinds = '{ping}'")
            await own.run(queue_events, [NewEvent(owner, "ping", claim, utc_now())])

            async def in_flight() -> None:
                assert receiver.open == 1

            await eventually(in_flight, seconds=40)
            os.kill(first.pid, signal.SIGKILL)
            await first.wait()
        assert await count(own, "state = 'PENDING' AND sending_until > now()") == 1
        # Its lease is over.
        await own.run(execute, "UPDATE webhook_deliveries SET next_attempt_at = now(), sending_until = now()")
        async with worker(platform):

            async def taken() -> None:
                assert await count(own, "state = 'SUCCEEDED'") == 1

            await eventually(taken, seconds=40)
    before, after = receiver.posts
    assert before.id == after.id
    assert before.verified(as_text(SECRET)) == after.verified(as_text(SECRET))


@asynccontextmanager
async def worker(platform: Platform) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker of promos on that database."""
    own: Any = platform.settings["promos"]
    environment = {
        "PATH": os.defpath,
        "PYTHONPATH": f"{ROOT}:{ROOT}/build/gen",
        "SCRIP_DATABASE_URL": platform.postgres.url("webhook_queue"),
        "SCRIP_REDIS_URL": own.redis_url,
        "SCRIP_WEBHOOK_KEY": base64.b64encode(KEY).decode(),
        "SCRIP_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        **{f"SCRIP_{name.upper()}_TARGET": target for name, target in platform.targets.items()},
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.promos", "worker", cwd=ROOT, env=environment
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
