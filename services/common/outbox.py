"""The outbox: messages to other services, written in the transaction that decides them.

A message exists exactly when the effect that it reports was committed; a job takes it to its receiver, at
least once. Messages of one topic, receiver and subject leave in the order of their versions; different
subjects do not wait for each other. A receiver that is away is waited for. A poison message, which its
receiver can not take, is set aside with an alarm and retried later, while those behind it go on; so a
receiver discards what is old by the version, or by an id in the content.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from psycopg.types.json import Jsonb

from services.common import jobs
from services.common.db import Connection, Database, execute, fetch_all
from services.common.errors import described, is_away
from services.common.ids import new_id
from services.common.jobs import DEFAULT_QUEUE, Task
from services.common.set_aside import count_set_aside

log = logging.getLogger(__name__)

OUTBOX_JOB = "send_outbox"
RETRY_SECONDS = 30
"""How often `retry_set_aside` is to be run."""

_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to be written; `subject` is what it is about, such as a member's id."""

    topic: str
    receiver: str
    subject: str
    version: int
    content: Mapping[str, Any]
    queue: str = DEFAULT_QUEUE


@dataclass(frozen=True, slots=True)
class Message:
    """A message on its way. `created_at` is when the transaction began that wrote it."""

    id: UUID
    topic: str
    receiver: str
    subject: str
    version: int
    content: dict[str, Any]
    created_at: datetime


Sender = Callable[[Message], Awaitable[None]]
"""Takes a message to its receiver; returns when the receiver has it, else raises."""


async def put(
    connection: Connection,
    *,
    topic: str,
    receiver: str,
    subject: str,
    version: int,
    content: Mapping[str, Any],
    queue: str = DEFAULT_QUEUE,
) -> None:
    """Writes a message, and queues the job that sends it, in the transaction of `connection`."""
    await put_all(connection, [NewMessage(topic, receiver, subject, version, content, queue)])


async def put_all(connection: Connection, messages: Sequence[NewMessage]) -> None:
    """Writes messages, and queues a job for each topic, receiver and subject: one round trip for all."""
    given = [
        {
            "id": new_id(),
            "topic": message.topic,
            "receiver": message.receiver,
            "subject": message.subject,
            "version": message.version,
            "content": message.content,
            "queue": message.queue,
        }
        for message in messages
    ]
    await execute(
        connection,
        """
        WITH given AS (
          SELECT * FROM jsonb_to_recordset(%(messages)s) AS g (
            id uuid, topic text, receiver text, subject text, version bigint, content jsonb, queue text
          )
        ), written AS (
          INSERT INTO outbox (id, topic, receiver, subject, version, content, queue)
          SELECT id, topic, receiver, subject, version, content, queue FROM given
        )
        SELECT procrastinate_defer_jobs_v1(array_agg(ROW(
          queue, %(job)s, 0, concat_ws(':', topic, receiver, subject), NULL,
          jsonb_build_object('topic', topic, 'receiver', receiver, 'subject', subject), NULL
        )::procrastinate_job_to_defer_v1))
        FROM (SELECT DISTINCT topic, receiver, subject, queue FROM given) AS subjects
        """,
        messages=Jsonb(given, dumps=_dumps),
        job=OUTBOX_JOB,
    )


def send_outbox_task(db: Database, senders: Mapping[str, Sender]) -> Task:
    """Returns the job that sends what waits for a receiver about a subject, by the sender of the topic."""

    async def send_outbox(topic: str, receiver: str, subject: str) -> None:
        send = senders[topic]
        while messages := await db.read(waiting_messages, topic, receiver, subject):
            for message in messages:
                await _deliver(db, send, message)

    return send_outbox


async def retry_set_aside(db: Database) -> None:
    """Queues again the messages set aside whose time has come; logs how much of all kinds is set aside."""
    while await db.run(_queue_due) == _AT_ONCE:
        pass
    found = await db.read(count_set_aside)
    if found.count:
        log.error("%d pieces of work are set aside, the oldest since %s", found.count, found.oldest)


async def waiting_messages(
    connection: Connection, topic: str, receiver: str, subject: str
) -> Sequence[Message]:
    """Returns the first messages that wait to be sent, in order. What was set aside waits for its time."""
    return await fetch_all(
        connection,
        Message,
        """
        SELECT id, topic, receiver, subject, version, content, created_at FROM outbox
        WHERE topic = %(topic)s AND receiver = %(receiver)s AND subject = %(subject)s
          AND next_attempt_at IS NULL
        ORDER BY version LIMIT %(limit)s
        """,
        topic=topic,
        receiver=receiver,
        subject=subject,
        limit=_AT_ONCE,
    )


async def _deliver(db: Database, send: Sender, message: Message) -> None:
    """Sends a message and removes it, or sets it aside. Raises when its receiver is away."""
    try:
        await send(message)
    except Exception as error:
        if is_away(error):
            raise
        # Neither subject nor content, which may be a person's.
        log.exception("message %s (%s to %s) is set aside", message.id, message.topic, message.receiver)
        await db.run(_set_aside, message.id, described(error))
    else:
        await db.run(_remove, message.id)


async def _remove(connection: Connection, message_id: UUID) -> None:
    await execute(connection, "DELETE FROM outbox WHERE id = %(id)s", id=message_id)


async def _set_aside(connection: Connection, message_id: UUID, error: str) -> None:
    """Sets a message aside for 1, 2, 4 ... minutes, at most 6 hours."""
    await execute(
        connection,
        """
        UPDATE outbox SET
          attempts = attempts + 1,
          set_aside_at = coalesce(set_aside_at, now()),
          next_attempt_at = now() + least(interval '1 min' * 2 ^ least(attempts, 10), interval '6 h'),
          error = %(error)s
        WHERE id = %(id)s
        """,
        id=message_id,
        error=error,
    )


@dataclass(frozen=True, slots=True)
class _Subject:
    topic: str
    receiver: str
    subject: str
    queue: str


async def _queue_due(connection: Connection) -> int:
    """Queues jobs for messages whose time has come; returns for how many, `_AT_ONCE` at most."""
    due = await fetch_all(
        connection,
        _Subject,
        """
        UPDATE outbox SET next_attempt_at = NULL
        WHERE id IN (
          SELECT id FROM outbox WHERE set_aside_at IS NOT NULL AND next_attempt_at <= now()
          ORDER BY next_attempt_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        )
        RETURNING topic, receiver, subject, queue
        """,
        limit=_AT_ONCE,
    )
    for one in dict.fromkeys(due):
        await jobs.defer(
            connection,
            OUTBOX_JOB,
            lock=f"{one.topic}:{one.receiver}:{one.subject}",
            queue=one.queue,
            topic=one.topic,
            receiver=one.receiver,
            subject=one.subject,
        )
    return len(due)


def _dumps(messages: object) -> bytes:
    return orjson.dumps(messages, default=str)
