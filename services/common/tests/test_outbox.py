"""The outbox: with its effect, in order, and nothing waits behind what can not be taken."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from services.common import outbox
from services.common.db import Connection, Database
from services.common.errors import DomainError, OutcomeUnknownError, overloaded
from services.common.ids import new_id
from services.common.outbox import (
    OUTBOX_JOB,
    Message,
    NewMessage,
    put,
    put_all,
    retry_set_aside,
    send_outbox_task,
)
from services.common.tests.test_db import execute, refused

AWAY = [OutcomeUnknownError("promos"), overloaded("events")]
FAULTS = [
    OutcomeUnknownError("promos", failed=True),
    DomainError("VALIDATION_FAILED", "Ada Lovelace is not known here"),
    ValueError("Ada Lovelace"),
]


@dataclass
class Receiver:
    """Takes messages, but for those for which an error is given."""

    taken: list[tuple[str, int]] = field(default_factory=list)
    tried: list[tuple[str, int]] = field(default_factory=list)
    errors: dict[int, Exception] = field(default_factory=dict)

    async def send(self, message: Message) -> None:
        """Takes a message, or raises."""
        self.tried.append((message.subject, message.version))
        if message.version in self.errors:
            raise self.errors[message.version]
        self.taken.append((message.subject, message.version))


@dataclass
class Outbox:
    """An outbox, and who receives from it."""

    db: Database
    receiver: Receiver

    async def put(self, *versions: int, subject: str = "ada", to: str = "promos") -> None:
        """Commits messages, one after the other."""
        for version in versions:
            await self.db.run(
                put,
                topic="test",
                receiver=to,
                subject=subject,
                version=version,
                content={"version": version},
                queue="tests",
            )

    async def send(self, subject: str = "ada", to: str = "promos") -> None:
        """Does a job of sending."""
        send = send_outbox_task(self.db, {"test": self.receiver.send})
        await send(topic="test", receiver=to, subject=subject)

    async def left(self) -> list[int]:
        """Returns the versions that are still there."""
        found = await self.db.read(execute, "SELECT array_agg(version ORDER BY version) FROM outbox")
        return found if isinstance(found, list) else []

    async def value(self, column: str) -> object:
        """Returns what a column of the only row holds."""
        return await self.db.read(execute, f"SELECT {column} FROM outbox")

    async def jobs(self) -> list[object]:
        """Returns name, queue, lock and arguments of the jobs, in order."""
        found = await self.db.read(
            execute,
            """
            SELECT array_agg(
              jsonb_build_array(task_name, queue_name, lock, args ->> 'receiver', args ->> 'subject')
              ORDER BY id
            ) FROM procrastinate_jobs
            """,
        )
        return found if isinstance(found, list) else []

    async def let_pass(self, time: str) -> None:
        """Lets time pass for what was set aside."""
        await self.db.run(
            execute,
            "UPDATE outbox SET next_attempt_at = next_attempt_at - %(time)s::interval",
            time=time,
        )


@pytest.fixture
async def box(db: Database) -> AsyncIterator[Outbox]:
    """An empty outbox."""
    yield Outbox(db, Receiver())
    await db.run(execute, "DELETE FROM outbox")
    await db.run(execute, "DELETE FROM procrastinate_jobs")


async def test_a_message_exists_exactly_when_its_effect_does(box: Outbox) -> None:
    async def act(connection: Connection, *, refuse: bool) -> None:
        await put(connection, topic="test", receiver="promos", subject="ada", version=1, content={})
        if refuse:
            raise DomainError("SOLD_OUT", "none left")

    await refused(box.db.run(act, refuse=True))
    assert (await box.left(), await box.jobs()) == ([], [])
    await box.db.run(act, refuse=False)
    assert await box.left() == [1]
    assert await box.jobs() == [[OUTBOX_JOB, "default", "test:promos:ada", "promos", "ada"]]


async def test_messages_are_sent_in_the_order_of_their_versions_and_removed(box: Outbox) -> None:
    await box.put(3, 1, 2)
    await box.put(1, subject="grace")
    await box.send()
    assert box.receiver.taken == [("ada", 1), ("ada", 2), ("ada", 3)]
    await box.send()
    assert len(box.receiver.taken) == 3
    await box.send("grace")
    assert await box.left() == []


async def test_more_messages_than_are_read_at_once_are_all_sent(
    box: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "_AT_ONCE", 2)
    await box.put(*range(1, 6))
    await box.send()
    assert [version for _, version in box.receiver.taken] == [1, 2, 3, 4, 5]


async def test_messages_put_together_need_one_job_for_each_subject_and_receiver(box: Outbox) -> None:
    messages = [
        NewMessage("test", receiver, "ada", version, {"name": "Ada: 100 % \N{SNOWMAN}"}, receiver)
        for receiver in ("points", "promos")
        for version in (1, 2)
    ]
    await box.db.run(put_all, messages)
    assert sorted(map(str, await box.jobs())) == [
        str([OUTBOX_JOB, receiver, f"test:{receiver}:ada", receiver, "ada"])
        for receiver in ("points", "promos")
    ]
    found = await box.db.read(outbox.waiting_messages, "test", "points", "ada")
    assert [(message.version, message.content) for message in found] == [
        (1, {"name": "Ada: 100 % \N{SNOWMAN}"}),
        (2, {"name": "Ada: 100 % \N{SNOWMAN}"}),
    ]


async def test_a_version_is_put_only_once(box: Outbox) -> None:
    await box.put(1)
    with pytest.raises(Exception, match="uq_outbox_topic_receiver_subject_version"):
        await box.put(1)
    await box.put(1, to="points")


@pytest.mark.parametrize("error", AWAY, ids=str)
async def test_a_receiver_that_is_away_is_waited_for_in_order(box: Outbox, error: DomainError) -> None:
    await box.put(1, 2)
    box.receiver.errors = {1: error}
    assert await refused(box.send()) is error
    assert box.receiver.tried == [("ada", 1)]
    assert await box.db.read(execute, "SELECT count(*) FROM outbox WHERE attempts > 0") == 0
    box.receiver.errors = {}
    await box.send()
    assert box.receiver.taken == [("ada", 1), ("ada", 2)]


@pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
async def test_what_can_not_be_taken_is_set_aside_and_the_rest_goes_on(
    box: Outbox, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    await box.put(1, 2, 3)
    box.receiver.errors = {2: error}
    await box.send()
    assert box.receiver.taken == [("ada", 1), ("ada", 3)]
    assert await box.left() == [2]
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    # Not whom it is about, nor what it says.
    assert re.fullmatch(r"message [0-9a-f-]{36} \(test to promos\) is set aside", record.getMessage())
    described = str(await box.value("error"))
    assert described.startswith(type(error).__name__)
    assert "Lovelace" not in described
    await box.send()
    assert box.receiver.tried.count(("ada", 2)) == 1, "it waits for its time"


async def test_what_was_set_aside_is_queued_again_when_its_time_has_come(
    box: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    await box.put(2)
    box.receiver.errors = {2: ValueError()}
    await box.send()
    await box.db.run(execute, "DELETE FROM procrastinate_jobs")
    await retry_set_aside(box.db)
    assert await box.jobs() == []
    assert "1 pieces of work are set aside" in caplog.text
    await box.let_pass("61 s")
    await retry_set_aside(box.db)
    await retry_set_aside(box.db)
    assert await box.jobs() == [[OUTBOX_JOB, "tests", "test:promos:ada", "promos", "ada"]]
    box.receiver.errors = {}
    await box.send()
    assert box.receiver.taken == [("ada", 2)]
    assert await box.left() == []
    caplog.clear()
    await retry_set_aside(box.db)
    assert caplog.text == ""


async def test_the_waits_of_what_is_set_aside_double_up_to_six_hours(box: Outbox) -> None:
    await box.put(1)
    box.receiver.errors = {1: ValueError()}
    waits = []
    for _ in range(12):
        await box.send()
        waits.append(await box.value("round(extract(epoch FROM next_attempt_at - now()) / 60)::int"))
        await box.let_pass("6 h")
        await retry_set_aside(box.db)
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360, 360]
    assert await box.value("attempts") == 12


async def test_a_job_done_twice_at_once_removes_what_is_gone_without_a_fault(box: Outbox) -> None:
    """As when a worker that was thought dead goes on."""
    await box.put(1)
    other = send_outbox_task(box.db, {"test": box.receiver.send})

    async def meanwhile(message: Message) -> None:
        await other(topic="test", receiver="promos", subject="ada")
        await box.receiver.send(message)

    await send_outbox_task(box.db, {"test": meanwhile})(topic="test", receiver="promos", subject="ada")
    assert box.receiver.taken == [("ada", 1)] * 2
    assert await box.left() == []


async def test_a_topic_that_only_a_newer_version_knows_waits_for_it(box: Outbox) -> None:
    await box.put(1)
    with pytest.raises(KeyError):
        await send_outbox_task(box.db, {})(topic="test", receiver="promos", subject="ada")
    assert await box.left() == [1]


async def test_identifiers_may_be_of_any_kind(box: Outbox) -> None:
    subject = str(new_id())

    async def act(connection: Connection) -> None:
        await put(
            connection, topic="test", receiver="promos", subject=subject, version=1, content={"id": new_id()}
        )

    await box.db.run(act)
    [message] = await box.db.read(outbox.waiting_messages, "test", "promos", subject)
    assert len(message.content["id"]) == 36
