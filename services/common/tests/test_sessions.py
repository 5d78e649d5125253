"""Who is logged in: what Redis is believed."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Sequence

import pytest
import redis.asyncio as plain_redis

from services.common import sessions
from services.common.sessions import ACTIVE, SUSPENDED, SessionCache, SessionState
from services.common.tests.sessions import (
    EPOCH,
    Servers,
    another_epoch,
    commit_change,
    filled,
    forgotten,
    hung,
    state,
    state_in,
    the_epoch,
)
from tests.waiting import eventually


class TestCache:
    async def test_it_answers_what_it_was_told(self, cache: SessionCache) -> None:
        assert await cache.get("ada") is None
        for told in (state(1, "a", "b"), state(2, status=SUSPENDED), state(3)):
            assert await commit_change(cache, told)
            assert await cache.get("ada") == told

    async def test_an_older_state_never_replaces_a_newer_one(self, cache: SessionCache) -> None:
        await commit_change(cache, state(10, "b"))
        await cache.settle(state(9, "a"))
        await cache.mark_in_doubt(state(9, "a"))
        await filled(cache, state(9, "a"))
        assert await cache.get("ada") == state(10, "b")

    async def test_of_many_at_once_the_newest_stays(self, cache: SessionCache) -> None:
        await asyncio.gather(
            *(commit_change(cache, state(version, str(version))) for version in range(1, 60))
        )
        assert await cache.get("ada") == state(59, "59")

    async def test_a_doubt_silences_what_is_older_and_lasts_until_it_is_settled(
        self, cache: SessionCache
    ) -> None:
        await commit_change(cache, state(1, "a"))
        await cache.mark_in_doubt(state(2, "b"))
        assert await cache.get("ada") is None
        await cache.settle(state(1, "a"))
        await filled(cache, state(1, "a"))
        assert await cache.get("ada") is None
        await cache.settle(state(2, "b"))
        assert await cache.get("ada") == state(2, "b")

    async def test_who_reads_what_is_in_doubt_settles_it(self, cache: SessionCache) -> None:
        await cache.mark_in_doubt(state(2, "b"))
        await filled(cache, state(2, "b"))
        assert await cache.get("ada") == state(2, "b")

    async def test_a_doubt_that_comes_late_is_ignored(self, cache: SessionCache) -> None:
        await commit_change(cache, state(2, "b"))
        await cache.mark_in_doubt(state(2, "b"))
        assert await cache.get("ada") == state(2, "b")

    async def test_settling_replaces_what_was_read_before_the_commit(self, cache: SessionCache) -> None:
        await cache.mark_in_doubt(state(2, "b"))
        await forgotten(cache)  # during the change
        await filled(cache, state(1, "a"))
        assert await cache.get("ada") == state(1, "a")
        await cache.settle(state(2, "b"))
        assert await cache.get("ada") == state(2, "b")

    async def test_who_settles_late_tells_nothing_that_has_been_replaced(self, cache: SessionCache) -> None:
        """A process that was paused after its commit, while another one had the next member log in."""
        for number in range(2):
            await cache.mark_in_doubt(state(1, "b"))
            await commit_change(cache, state(2, "c"))
            await forgotten(cache)  # by time, or by a flush
            if number:
                await filled(cache, state(2, "c"))
            await cache.settle(state(1, "b"))
            assert await cache.get("ada") == (state(2, "c") if number else None)

    async def test_who_settles_amid_a_reading_voids_it(self, cache: SessionCache) -> None:
        """What is being read may be of before the commit, and what is settled may be replaced by now."""
        await cache.mark_in_doubt(state(2, "b"))
        await forgotten(cache)

        async def read() -> list[SessionState]:
            await cache.settle(state(2, "b"))
            return [state(1, "a")]

        assert await cache.fill(["ada"], read) == [state(1, "a")]
        assert await cache.get("ada") is None

    @pytest.mark.parametrize("fault", ["nothing", "forgotten", "forgotten and read again"])
    async def test_what_was_read_before_a_change_is_not_kept_after_it(
        self, cache: SessionCache, fault: str
    ) -> None:
        async def read() -> list[SessionState]:
            found = [state(1, "a")]  # and then this process is paused
            await commit_change(cache, state(2, "b"))
            if fault != "nothing":
                await forgotten(cache)
            if fault == "forgotten and read again":
                await filled(cache, state(2, "b"))
            return found

        assert await cache.fill(["ada"], read) == [state(1, "a")]
        assert await cache.get("ada") == (None if fault == "forgotten" else state(2, "b"))

    async def test_what_is_being_read_elsewhere_is_not_taken_for_ones_own(self, cache: SessionCache) -> None:
        async def read() -> list[SessionState]:
            await commit_change(cache, state(2, "b"))
            await forgotten(cache)
            elsewhere.append(asyncio.create_task(cache.fill(["ada"], wait)))
            await asyncio.sleep(0.05)  # it has set its mark
            return [state(1, "a")]

        done = asyncio.Event()
        elsewhere: list[asyncio.Task[Sequence[SessionState]]] = []

        async def wait() -> list[SessionState]:
            await done.wait()
            return [state(2, "b")]

        await cache.fill(["ada"], read)
        assert await cache.get("ada") is None
        done.set()
        await elsewhere[0]
        assert await cache.get("ada") == state(2, "b")

    async def test_many_are_read_at_once_and_each_kept(self, cache: SessionCache) -> None:
        states = [SessionState(f"member-{n}", n, ACTIVE, frozenset({f"s{n}"}), EPOCH) for n in range(1, 200)]

        async def read() -> list[SessionState]:
            return states

        assert await cache.fill([one.subject_id for one in states], read) == states
        names = [one.subject_id for one in states] * 2
        assert await asyncio.gather(*map(cache.get, names)) == states * 2

    async def test_it_is_believed_only_while_identity_vouches_for_it(
        self, cache: SessionCache, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sessions, "_LEASE_MILLISECONDS", 500)
        await commit_change(cache, state(1, "a"))
        await cache.renew_lease(the_epoch)
        await asyncio.sleep(0.51)
        assert await cache.get("ada") is None
        assert await state_in(cache, want=state(1, "a")) == state(1, "a")

    async def test_what_is_of_an_older_epoch_is_not_believed_until_read_again(
        self, cache: SessionCache
    ) -> None:
        await commit_change(cache, state(1, "a"))
        await cache.renew_lease(another_epoch)
        assert await cache.get("ada") is None
        await filled(cache, state(1, "a"))
        assert await cache.get("ada") is None
        await filled(cache, state(1, "a", epoch="epoch-2"))
        assert await cache.get("ada") == state(1, "a", epoch="epoch-2")
        await commit_change(cache, state(2, epoch="epoch-2"))
        assert await cache.get("ada") == state(2, epoch="epoch-2")

    async def test_flushed_it_knows_nothing_and_goes_on(self, cache: SessionCache) -> None:
        await commit_change(cache, state(2, "b"))
        await cache._server.client.flushall()
        assert await cache.get("ada") is None
        await commit_change(cache, state(2, "b"))
        assert await cache.get("ada") is None, "there is no lease yet"
        await cache.renew_lease(the_epoch)
        assert await cache.get("ada") == state(2, "b")


class TestFaults:
    async def test_away_it_answers_nothing_and_takes_nothing(self, own: Servers) -> None:
        server, cache = own
        await commit_change(cache, state(1, "a"))
        server.stop()
        assert await cache.get("ada") is None
        assert not await cache.settle(state(2, "b"))
        assert not await cache.mark_in_doubt(state(3))
        await filled(cache, state(2, "b"))
        await cache.renew_lease(the_epoch)

    async def test_restarted_it_is_used_again(self, own: Servers) -> None:
        server, cache = own
        await commit_change(cache, state(1, "a"))
        server.stop()
        server.start()
        assert await cache.get("ada") is None
        await asyncio.sleep(1.1)  # it may have been left alone for a second
        assert await commit_change(cache, state(2, "b"))
        assert await state_in(cache, want=state(2, "b")) == state(2, "b")

    async def test_hung_it_costs_nobody_more_than_a_moment(self, own: Servers) -> None:
        server, cache = own
        await commit_change(cache, state(1, "a"))
        with hung(server):
            began = time.monotonic()
            answers = await asyncio.gather(*(cache.get("ada") for _ in range(200)))
            assert time.monotonic() - began < 1.0
            assert answers == [None] * 200
            assert not await cache.mark_in_doubt(state(2, "b"))

    async def test_restored_from_an_old_snapshot_it_is_not_believed(self, own: Servers) -> None:
        server, cache = own
        await commit_change(cache, state(1, "a"))
        async with plain_redis.Redis.from_url(server.url) as raw:

            async def snapshot() -> dict[bytes | str, bytes | None]:
                await cache.renew_lease(the_epoch)
                found = {key: await raw.dump(key) for key in await raw.keys("*")}
                assert len(found) == 2, "a state and the lease"
                return found

            old = await eventually(snapshot)  # on a busy machine a lease may be over by then
        await commit_change(cache, state(2, "b"))
        server.stop()
        server.start()
        async with plain_redis.Redis.from_url(server.url) as raw:
            for key, value in old.items():
                await raw.restore(key, 30_000, value or b"")
        # The old connections are dead, and those who used them knew the ids of the run before.
        assert [await cache.get("ada") for _ in range(40)] == [None] * 40
        await asyncio.sleep(1.1)  # it may have been left alone for a second
        assert await state_in(cache, want=state(1, "a")) is None, "not even under a lease"

    async def test_what_it_is_told_while_it_hangs_does_not_count_when_it_comes_late(
        self, own: Servers
    ) -> None:
        server, cache = own
        await commit_change(cache, state(1, "a"))
        with hung(server):
            # One who read the login before it was replaced; the replacement could not be written either.
            await filled(cache, state(1, "a"))
            await asyncio.sleep(0.55)
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            await cache.renew_lease(another_epoch)
            assert await cache.get("ada") is None

    async def test_a_vouching_that_comes_late_is_over(self, own: Servers) -> None:
        server, cache = own
        await commit_change(cache, state(1, "a"))

        async def hang_and_read() -> str:
            assert server._process
            os.kill(server._process.pid, signal.SIGSTOP)
            return EPOCH

        await cache.renew_lease(hang_and_read)
        await asyncio.sleep(0.55)
        with hung(server):
            pass
        for _ in range(20):
            assert await cache.get("ada") is None
            await asyncio.sleep(0.01)
        assert await state_in(cache, want=state(1, "a")) == state(1, "a")
