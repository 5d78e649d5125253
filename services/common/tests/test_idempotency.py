"""One key, at most one effect."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.db import Connection, Database, execute, fetch_value
from services.common.errors import DomainError
from services.common.idempotency import forget_old_keys, parse_key, run_once
from services.common.ids import new_id

Effect = Callable[[Connection], Awaitable[bytes]]


@pytest.fixture
def counter() -> str:
    """The name of a counter that no other test has."""
    return str(new_id())


def adding(counter: str, *, seconds: float = 0, refuse: bool = False) -> Effect:
    """Adds one to a counter and returns its value; may take its time, and refuse in the end."""

    async def add(connection: Connection) -> bytes:
        value = await fetch_value(
            connection,
            """
            INSERT INTO counters VALUES (%(name)s, 1)
            ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value
            """,
            name=counter,
        )
        await asyncio.sleep(seconds)
        if refuse:
            raise DomainError("INSUFFICIENT_POINTS", "too few")
        return f"reply {value}".encode()

    return add


async def value_of(db: Database, counter: str) -> int:
    """Returns how often the effect happened."""

    async def read(connection: Connection) -> int:
        query = "SELECT coalesce(sum(value), 0) FROM counters WHERE name = %(name)s"
        return int(await fetch_value(connection, query, name=counter))

    return await db.read(read)


def scope(
    counter: str, *, caller: str = "", rpc: str = "Add", key: str | None = "key-1"
) -> tuple[str, str, str | None]:
    """Who calls what with which key; callers of different tests differ."""
    return caller or counter, rpc, key


async def reason(call: Awaitable[object]) -> str:
    """Returns the reason of a refused call."""
    with pytest.raises(DomainError) as caught:
        await call
    return caught.value.reason


async def test_the_same_call_gets_the_same_reply_and_acts_once(db: Database, counter: str) -> None:
    replies = [await db.run(run_once, scope(counter), b"content", adding(counter)) for _ in range(3)]
    assert replies == [b"reply 1"] * 3
    assert await value_of(db, counter) == 1


async def test_other_content_under_a_used_key_is_refused(db: Database, counter: str) -> None:
    await db.run(run_once, scope(counter), b"content", adding(counter))
    again = db.run(run_once, scope(counter), b"other", adding(counter))
    assert await reason(again) == "IDEMPOTENCY_KEY_REUSED"
    assert await value_of(db, counter) == 1


async def test_keys_are_the_callers_own_and_the_rpcs_own(db: Database, counter: str) -> None:
    mine = scope(counter)
    for other in (
        mine,
        scope(counter, caller=f"{counter}-2"),
        scope(counter, rpc="Sub"),
        scope(counter, key="2"),
    ):
        await db.run(run_once, other, b"content", adding(counter))
    assert await value_of(db, counter) == 4


async def test_without_a_key_every_call_acts(db: Database, counter: str) -> None:
    calls = [db.run(run_once, scope(counter, key=None), b"content", adding(counter)) for _ in range(3)]
    assert sorted(await asyncio.gather(*calls)) == [b"reply 1", b"reply 2", b"reply 3"]


async def test_fifty_at_once_act_once_and_all_get_the_reply(db: Database, counter: str) -> None:
    calls = [db.run(run_once, scope(counter), b"content", adding(counter, seconds=0.05)) for _ in range(50)]
    assert await asyncio.gather(*calls) == [b"reply 1"] * 50
    assert await value_of(db, counter) == 1


async def test_of_two_contents_at_once_one_wins_and_the_other_is_refused(db: Database, counter: str) -> None:
    contents = [b"left", b"right"] * 10
    results = await asyncio.gather(
        *(db.run(run_once, scope(counter), content, adding(counter, seconds=0.02)) for content in contents),
        return_exceptions=True,
    )
    won = {content for content, result in zip(contents, results, strict=True) if result == b"reply 1"}
    refused = [r for r in results if isinstance(r, DomainError)]
    assert len(won) == 1
    assert [error.reason for error in refused] == ["IDEMPOTENCY_KEY_REUSED"] * 10
    assert await value_of(db, counter) == 1


async def test_a_refusal_keeps_nothing_and_the_next_call_is_judged_anew(db: Database, counter: str) -> None:
    refused = db.run(run_once, scope(counter), b"content", adding(counter, refuse=True))
    assert await reason(refused) == "INSUFFICIENT_POINTS"
    assert await value_of(db, counter) == 0
    assert await db.run(run_once, scope(counter), b"other", adding(counter)) == b"reply 1"


async def test_who_waits_for_a_call_that_is_refused_acts_itself(db: Database, counter: str) -> None:
    first = asyncio.create_task(
        db.run(run_once, scope(counter), b"content", adding(counter, seconds=0.1, refuse=True))
    )
    await asyncio.sleep(0.03)
    second = db.run(run_once, scope(counter), b"content", adding(counter))
    assert await second == b"reply 1"
    assert await reason(first) == "INSUFFICIENT_POINTS"
    assert await value_of(db, counter) == 1


async def test_the_reply_is_kept_byte_for_byte(db: Database, counter: str) -> None:
    reply = bytes(range(256))

    async def effect(connection: Connection) -> bytes:
        return reply

    for _ in range(2):
        assert await db.run(run_once, scope(counter), b"", effect) == reply


async def test_keys_are_forgotten_after_seven_days_and_not_before(db: Database, counter: str) -> None:
    for key in ("young", "old"):
        await db.run(run_once, scope(counter, key=key), b"content", adding(counter))

    async def age(connection: Connection, key: str, days: float) -> None:
        await execute(
            connection,
            """
            UPDATE idempotency_keys SET created_at = now() - %(days)s * interval '1 day'
            WHERE key = %(key)s
            """,
            days=days,
            key=key,
        )

    await db.run(age, "young", 6.99)
    await db.run(age, "old", 7.01)
    assert await db.run(forget_old_keys) == 1
    assert await db.run(run_once, scope(counter, key="young"), b"content", adding(counter)) == b"reply 1"
    assert await db.run(run_once, scope(counter, key="old"), b"content", adding(counter)) == b"reply 3"


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("key", ["a", "k" * 128, "0199-abc_DEF:~!"])
def test_good_keys_are_taken_as_they_are(key: str, required: bool) -> None:
    assert parse_key(key, required=required) == key


@pytest.mark.parametrize("key", [None, ""])
def test_a_missing_key_is_refused_only_where_one_is_required(key: str | None) -> None:
    assert parse_key(key, required=False) is None
    with pytest.raises(DomainError) as caught:
        parse_key(key, required=True)
    assert caught.value.reason == "IDEMPOTENCY_KEY_REQUIRED"


@given(st.text(min_size=1))
def test_whatever_is_not_visible_and_short_is_refused(key: str) -> None:
    if len(key) <= 128 and all("!" <= character <= "~" for character in key):
        assert parse_key(key, required=False) == key
    else:
        with pytest.raises(DomainError) as caught:
            parse_key(key, required=False)
        assert caught.value.reason == "IDEMPOTENCY_KEY_REQUIRED"
