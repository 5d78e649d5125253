"""Sends what is due to endpoints, as a loop of a worker.

What one worker does at a time is bounded in all, and for each endpoint (`queue.py`), so that a slow receiver
delays its own deliveries alone. A worker that dies leaves deliveries that another one sends again after a
lease: with the same `webhook-id`, by which receivers know a repetition.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import orjson

from services.common.db import Database
from services.common.errors import described, is_away
from services.common.housekeeping import end
from services.common.ids import utc_now
from services.common.webhooks import queue
from services.common.webhooks.events import Event, Payload
from services.common.webhooks.http_sender import GONE, Outcome
from services.common.webhooks.queue import DueDelivery
from services.common.webhooks.signing import signed

log = logging.getLogger(__name__)

WAITS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds after each failure: 5 s, 5 and 30 min, 2, 5, 10, 14, 20 and 24 h. Ten attempts in three days."""
_JITTER = 0.2
LONGEST_WAIT = 86_400.0
"""However long a receiver asks for."""
_AT_ONCE = 50
_POLL_SECONDS = 1.0
_PAYLOAD_SECONDS = 10.0
_POSTPONED_SECONDS = 15.0
_ROUNDS = 100
"""Batches of a thousand old deliveries that are removed at a time."""


class Sender(Protocol):
    """Posts a body to a URL."""

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Awaitable[Outcome]:
        """Returns what came of one attempt."""


class Opener(Protocol):
    """Reads what is kept encrypted."""

    def decrypt(self, sealed: bytes) -> bytes:
        """Returns what was encrypted."""


def wait_after(tries: int, retry_after: float = 0.0) -> float | None:
    """Returns after how many seconds to try again, when so many tries failed; None: never.

    A wait is made up to a fifth longer or shorter by chance, so that what failed together comes back apart. A
    receiver may ask for a longer one, of a day at most.
    """
    if tries > len(WAITS):
        return None
    own = WAITS[tries - 1] * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311  # jitter
    return max(own, min(retry_after, LONGEST_WAIT))


@dataclass(frozen=True, slots=True)
class _Attempted:
    outcome: Outcome
    started_at: datetime
    duration_ms: int


class Dispatcher:
    """Takes deliveries that are due, and sends each in a task of its own."""

    def __init__(
        self,
        db: Database,
        sender: Sender,
        opener: Opener,
        payloads: Mapping[str, Payload],
        *,
        at_once: int = _AT_ONCE,
    ) -> None:
        self._db = db
        self._sender = sender
        self._opener = opener
        self._payloads = payloads
        self._at_once = at_once
        self._tasks: set[asyncio.Future[None]] = set()

    async def run(self) -> None:
        """Sends until cancelled. Raises DEPENDENCY_UNAVAILABLE while the database is away."""
        try:
            while True:
                await self.send_due()
                if self._tasks:
                    await asyncio.wait(
                        self._tasks, timeout=_POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED
                    )
                else:
                    await asyncio.sleep(_POLL_SECONDS)
        finally:
            await end(self._tasks)

    async def send_due(self) -> None:
        """Begins to send what is due, as far as there is room."""
        room = self._at_once - len(self._tasks)
        if room <= 0:
            return
        for delivery in await self._db.run(queue.take_due, most=room):
            task = asyncio.ensure_future(self._deliver(delivery))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _deliver(self, delivery: DueDelivery) -> None:
        """Makes one attempt. What fails here by a defect is sent again when its lease is over."""
        try:
            attempted = await self._attempt(delivery)
            if attempted is None:
                await self._db.run(queue.postpone, delivery, seconds=_POSTPONED_SECONDS)
            else:
                await self._keep(delivery, attempted)
        except Exception as error:
            if is_away(error):
                log.warning("delivery %s waits: %s", delivery.event_id, described(error))
            else:
                log.exception("delivery %s failed by a defect", delivery.event_id)

    async def _attempt(self, delivery: DueDelivery) -> _Attempted | None:
        """Returns what came of an attempt; None when something of ours is away, and none was made."""
        payload = self._payloads.get(delivery.kind)
        if payload is None:  # a newer worker knows the kind
            return None
        started_at, began = utc_now(), time.monotonic()
        try:
            body = await _body(delivery, payload)
            keys = [self._opener.decrypt(delivery.secret)]
            if delivery.old_secret:
                keys.append(self._opener.decrypt(delivery.old_secret))
        except Exception as error:
            if isinstance(error, TimeoutError) or is_away(error):
                log.warning("delivery %s can not be built now: %s", delivery.event_id, described(error))
                return None
            log.exception("delivery %s can not be built", delivery.event_id)
            outcome = Outcome(error="INTERNAL")
        else:
            outcome = await self._send(delivery, body, keys)
        return _Attempted(outcome, started_at, round((time.monotonic() - began) * 1_000))

    async def _send(self, delivery: DueDelivery, body: bytes, keys: Sequence[bytes]) -> Outcome:
        try:
            headers = signed(str(delivery.event_id), body, keys)
            return await self._sender.post(delivery.url, headers, body)
        except Exception:
            # A defect of ours, perhaps with what this receiver sends. It counts, or it would never end.
            log.exception("delivery %s can not be sent", delivery.event_id)
            return Outcome(error="INTERNAL")

    async def _keep(self, delivery: DueDelivery, attempted: _Attempted) -> None:
        outcome = attempted.outcome
        wait = wait_after(delivery.tries, outcome.retry_after)
        state: queue.DeliveryState = "PENDING"
        if outcome.error is None:
            state = "SUCCEEDED"
        elif wait is None or outcome.status == GONE:
            state = "FAILED"
        await self._db.run(
            queue.finish_attempt,
            delivery,
            state=state,
            wait_seconds=wait or 0.0,
            started_at=attempted.started_at,
            duration_ms=attempted.duration_ms,
            status=outcome.status,
            error=outcome.error,
        )
        await self._note(delivery.endpoint_id, outcome)

    async def _note(self, endpoint_id: UUID, outcome: Outcome) -> None:
        """Keeps of the endpoint whether it fails. A failure of ours says nothing about it."""
        if outcome.error is None:
            await self._db.run_autocommit(queue.note_success, endpoint_id)
        elif outcome.error != "INTERNAL":
            await self._db.run_autocommit(queue.note_failure, endpoint_id)
        if outcome.status == GONE:
            await self._db.run_autocommit(queue.note_gone, endpoint_id)


async def _body(delivery: DueDelivery, payload: Payload) -> bytes:
    """Returns what is sent."""
    event = Event(
        delivery.event_id,
        delivery.owner_id,
        delivery.kind,
        delivery.subject_id,
        delivery.occurred_at,
        delivery.member_id,
    )
    async with asyncio.timeout(_PAYLOAD_SECONDS):
        data = await payload(event)
    content: dict[str, Any] = {"type": delivery.kind, "timestamp": delivery.occurred_at, "data": data}
    return orjson.dumps(content, option=orjson.OPT_UTC_Z)


_FORGETTING = (queue.forget_old_deliveries, queue.forget_deleted_endpoints, queue.forget_old_secrets)


async def forget_old(db: Database) -> None:
    """Removes what is older than it is kept, batch after batch, so many at a time."""
    for forget in _FORGETTING:
        for _ in range(_ROUNDS):
            if not await db.run(forget):
                break
