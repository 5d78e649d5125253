"""What is set aside: it waits, longer each time, is listed, tried at once when staff wish, and forgotten."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.common.db import Database
from services.common.errors import DomainError, OutcomeUnknownError, UnforeseenError, described, is_away
from services.common.outbox import put, retry_set_aside
from services.common.paging import Page
from services.common.set_aside import (
    EXPIRY,
    ORDER,
    SET_ASIDE,
    SetAsideRow,
    count_set_aside,
    forget_set_aside,
    ids_set_aside,
    retry_now,
    set_aside,
)
from services.common.tests.test_db import execute, refused


@pytest.fixture(autouse=True)
async def _empty(db: Database) -> AsyncIterator[None]:
    yield
    for table in ("set_aside", "outbox", "procrastinate_jobs"):
        await db.run(execute, f"DELETE FROM {table}")


async def listed(db: Database, **wanted: str) -> list[tuple[str, str]]:
    """Returns kind and id of what staff see."""
    rows, _ = await db.read(SET_ASIDE.page, page=Page(50, ""), **wanted)
    assert all(isinstance(row, SetAsideRow) for row in rows)
    return [(row.kind, row.id) for row in rows]


async def put_aside_message(db: Database) -> str:
    """Returns the id of an audit entry that its receiver could not take."""
    await db.run(put, topic="audit", receiver="identity", subject="1", version=1, content={})
    await db.run(
        execute,
        """
        UPDATE outbox SET set_aside_at = now(), attempts = 1, error = 'ValueError',
          next_attempt_at = now() + interval '1 h'
        """,
    )
    return str(await db.read(execute, "SELECT id FROM outbox"))


async def test_waits_double_from_ten_seconds_up_to_six_hours(db: Database) -> None:
    waits = []
    for attempt in range(1, 14):
        assert await db.run(set_aside, ORDER, "1", "ValueError") == attempt
        waits.append(
            await db.read(
                execute, "SELECT round(extract(epoch FROM next_attempt_at - now()))::int FROM set_aside"
            )
        )
    assert waits == [*(10 * 2**n for n in range(12)), 21_600]


async def test_it_waits_for_its_time_and_is_due_then(db: Database) -> None:
    await db.run(set_aside, EXPIRY, "1", "ValueError")
    assert await db.read(ids_set_aside, EXPIRY, due=False) == ["1"]
    assert await db.read(ids_set_aside, EXPIRY, due=True) == []
    await db.run(execute, "UPDATE set_aside SET next_attempt_at = now() - interval '1 s'")
    assert await db.read(ids_set_aside, EXPIRY, due=False) == []
    assert await db.read(ids_set_aside, EXPIRY, due=True) == ["1"]
    assert await db.read(ids_set_aside, ORDER, due=True) == []


async def test_all_kinds_are_in_one_list_the_oldest_first(db: Database) -> None:
    await db.run(set_aside, ORDER, "order", "IndexError")
    message = await put_aside_message(db)
    await db.run(set_aside, EXPIRY, "member", "UnforeseenError 23505 pk_ledger_entries")
    assert await listed(db) == [("ORDER", "order"), ("AUDIT_ENTRY", message), ("EXPIRY", "member")]
    assert await listed(db, order_by="set_aside_at desc") == (await listed(db))[::-1]
    assert await listed(db, kind="AUDIT_ENTRY") == [("AUDIT_ENTRY", message)]
    total = await db.read(SET_ASIDE.total)
    assert (total.count, total.more) == (3, False)
    assert (await db.read(count_set_aside)).count == 3
    await db.run(forget_set_aside, ORDER, ["order", "member"])
    assert await listed(db) == [("AUDIT_ENTRY", message), ("EXPIRY", "member")]


async def test_how_much_is_set_aside_is_told_again_and_again(
    db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    await retry_set_aside(db)
    assert caplog.text == ""
    await db.run(set_aside, ORDER, "order", "IndexError")
    await retry_set_aside(db)
    assert "1 pieces of work are set aside" in caplog.text


@pytest.mark.parametrize(
    ("kind", "subject_id", "expected"),
    [(None, None, 3), ("ORDER", None, 2), ("ORDER", "1", 1), (None, "2", 1), ("AUDIT_ENTRY", None, 1)],
)
async def test_staff_have_it_tried_at_once(
    db: Database, kind: str | None, subject_id: str | None, expected: int
) -> None:
    await db.run(set_aside, ORDER, "1", "IndexError")
    await db.run(set_aside, ORDER, "2", "IndexError")
    await put_aside_message(db)
    assert await db.run(retry_now, kind=kind, subject_id=subject_id) == expected
    due = await db.read(
        execute,
        """
        SELECT (SELECT count(*) FROM set_aside WHERE next_attempt_at <= now())
          + (SELECT count(*) FROM outbox WHERE next_attempt_at <= now())
        """,
    )
    assert due == expected


async def test_what_is_not_set_aside_can_not_be_tried_again(db: Database) -> None:
    await db.run(set_aside, ORDER, "1", "IndexError")
    for kind, subject_id in (("ORDER", "2"), ("EXPIRY", "1"), (None, "x")):
        error = await refused(db.run(retry_now, kind=kind, subject_id=subject_id))
        assert (error.reason, error.metadata) == ("SET_ASIDE_NOT_FOUND", {"id": subject_id})
    assert await db.run(retry_now, kind="JOB", subject_id=None) == 0


def test_an_error_is_described_without_its_words() -> None:
    for error, expected in (
        (ValueError("Ada Lovelace"), "ValueError"),
        (DomainError("MEMBER_CLOSED", "Ada Lovelace"), "DomainError MEMBER_CLOSED"),
        (OutcomeUnknownError("promos", failed=True), "OutcomeUnknownError DEPENDENCY_UNAVAILABLE"),
        (UnforeseenError("text", code="23505 pk_debits"), "UnforeseenError 23505 pk_debits"),
        (UnforeseenError("text"), "UnforeseenError"),
    ):
        assert described(error) == expected


def test_a_dependency_that_fails_at_a_call_is_not_away() -> None:
    assert is_away(OutcomeUnknownError("promos"))
    assert not is_away(OutcomeUnknownError("promos", failed=True))
    assert not is_away(ValueError())
