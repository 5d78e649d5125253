"""What identity writes to Redis about logins, when it can not, or does so late, or is asked by a crowd."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from services.common.cache import Redis
from services.common.ids import new_id
from services.common.sessions import SessionCache, SessionState
from services.identity.sessions import Logins, end_sessions, open_session, queries
from services.identity.tests.devices import device_of
from services.identity.tests.people import DONE, People
from stack.ports import free_port
from tests.inprocess import Platform

SECOND = 1.0


@pytest.mark.covers("I4 AuthService.LogIn")
async def test_a_change_that_redis_can_not_be_told_voids_what_it_holds(
    people: People, platform: Platform
) -> None:
    member = await platform.member()
    device = await device_of(people, member)
    assert await people.answers(device.access) == {DONE}
    before = await platform.databases["identity"].read(queries.session_epoch)
    cut_off = Redis(f"redis://127.0.0.1:{free_port()}/0")
    ended = time.monotonic()
    # As a process of identity does that is cut off from the Redis that all others see.
    await Logins(platform.databases["identity"], SessionCache(cut_off)).run(
        end_sessions, account_id=member.id
    )
    await cut_off.close()
    assert await platform.databases["identity"].read(queries.session_epoch) != before
    await asyncio.sleep(max(0.0, ended + SECOND - time.monotonic()))
    assert await people.answers(device.access) == {"SESSION_ENDED"}


async def test_a_change_that_is_rolled_back_locks_nobody_out(people: People, platform: Platform) -> None:
    member = await platform.member()
    device = await device_of(people, member)
    before = await platform.databases["identity"].read(queries.session_state, member.id)
    client = Redis(platform.redis_url, seconds=1)
    # What is written to Redis before a commit that never comes.
    assert await SessionCache(client).mark_in_doubt(replace(before, version=before.version + 1))
    await client.close()
    assert await people.answers(device.access) == {DONE}
    new = await device_of(people, member)
    await asyncio.sleep(SECOND)
    assert await people.answers(new.access) == {DONE}
    assert await people.answers(device.access) == {"SESSION_REPLACED"}


async def test_a_process_that_was_paused_after_its_commit_tells_nothing_old(
    people: People, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = await platform.member()
    client = Redis(platform.redis_url, seconds=1)
    cache = SessionCache(client)
    committed, go_on, settle = asyncio.Event(), asyncio.Event(), cache.settle

    async def settle_later(state: SessionState) -> bool:
        committed.set()
        await go_on.wait()
        return await settle(state)

    monkeypatch.setattr(cache, "settle", settle_later)
    paused = asyncio.create_task(
        Logins(platform.databases["identity"], cache).run(
            open_session, account_id=member.id, device_id="paused", most=1, seconds=3_600
        )
    )
    await committed.wait()
    # Another process logs the member in on another device, and Redis forgets that.
    new = await device_of(people, member)
    assert await people.answers(new.access) == {DONE}
    await client.client.flushall()
    go_on.set()
    await paused
    deadline = time.monotonic() + 1.3
    while time.monotonic() < deadline:
        assert await people.answers(new.access) == {DONE}
    await client.close()


async def test_a_crowd_that_asks_identity_is_read_together(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = [await platform.member() for _ in range(3)]
    database, logins = platform.databases["identity"], platform.logins
    read, statements = database.read, 0

    async def counted(*arguments: Any, **more: Any) -> Any:
        nonlocal statements
        statements += 1
        return await read(*arguments, **more)

    monkeypatch.setattr(database, "read", counted)
    nobody = str(new_id())
    asked = [*(str(member.id) for member in members), nobody] * 40
    found = await asyncio.gather(*map(logins.check, asked))
    assert statements <= 2
    assert [state.subject_id for state in found] == asked
    assert {state.status for state in found if state.subject_id == nobody} == {"unknown"}
    for member in members:
        state = found[asked.index(str(member.id))]
        assert (state.status, len(state.session_ids)) == ("active", 1)
