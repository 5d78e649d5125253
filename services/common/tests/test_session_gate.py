"""Who is let in: how a service judges a login by Redis and identity."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

import pytest

from services.common import sessions
from services.common.caller import ADMIN, MEMBER, TILL, Caller
from services.common.errors import DomainError, unavailable
from services.common.ids import new_id
from services.common.sessions import ACTIVE, CLOSED, SUSPENDED, SessionCache, SessionGate, SessionState
from services.common.tests.sessions import Servers, commit_change, hung, state
from tests.waiting import eventually


def who(session: str, role: str = MEMBER) -> Caller:
    return Caller("ada", role, session)


class Identity:
    """Replies as identity does, and counts the calls."""

    def __init__(self, known: SessionState) -> None:
        self.known = known
        self.asked = 0
        self.away = False
        self.slow = 0.0

    async def check(self, subject_id: str) -> SessionState:
        self.asked += 1
        await asyncio.sleep(self.slow)
        if self.away:
            raise unavailable("identity")
        return self.known


class Clock:
    """The time as the gate sees it; the event loop keeps its own."""

    turned = 0.0

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return 1_000.0 + self.turned


async def refused(call: Awaitable[None]) -> str:
    with pytest.raises(DomainError) as caught:
        await call
    return caught.value.reason


class TestGate:
    @pytest.mark.parametrize(
        ("found", "caller", "reason"),
        [
            (state(2, "b"), who("a"), "SESSION_REPLACED"),
            (state(2), who("a"), "SESSION_ENDED"),
            (state(2, "b"), who("a", ADMIN), "SESSION_ENDED"),
            (state(2, "a", status=SUSPENDED), who("a"), "ACCOUNT_SUSPENDED"),
            (state(2, "a", status=CLOSED), who("a"), "ACCOUNT_CLOSED"),
            (SessionState("ada", 0, "unknown", frozenset()), who("a"), "SESSION_ENDED"),
        ],
    )
    async def test_it_says_why_it_refuses(
        self, cache: SessionCache, found: SessionState, caller: Caller, reason: str
    ) -> None:
        assert await refused(SessionGate(cache, Identity(found).check).require(caller)) == reason

    @pytest.mark.covers("I4 IdentityInternalService.BatchCheckSessions")
    async def test_it_asks_identity_only_when_redis_has_no_answer(self, cache: SessionCache) -> None:
        identity = Identity(state(1, "a"))
        await SessionGate(cache, identity.check).require(who("a"))
        assert identity.asked == 1
        await commit_change(cache, state(1, "a"))
        await SessionGate(cache, identity.check).require(who("a"))
        assert identity.asked == 1

    async def test_a_crowd_that_redis_does_not_know_is_one_question_or_two(self, own: Servers) -> None:
        server, cache = own
        server.stop()
        identity = Identity(state(2, "b"))
        identity.slow = 0.05
        gate = SessionGate(cache, identity.check)
        await asyncio.gather(*(gate.require(who("b")) for _ in range(64)))
        assert identity.asked <= 2
        # Those who are refused are not remembered, and yet no stampede either.
        crowd = [asyncio.create_task(refused(gate.require(who("a")))) for _ in range(200)]
        assert set(await asyncio.gather(*crowd)) == {"SESSION_REPLACED"}
        assert identity.asked <= 4

    async def test_who_logs_in_amid_a_question_is_not_judged_by_its_answer(self, cache: SessionCache) -> None:
        identity = Identity(state(1, "a"))
        answers: list[asyncio.Future[SessionState]] = []

        async def check(subject_id: str) -> SessionState:
            identity.asked += 1
            answers.append(asyncio.get_running_loop().create_future())
            return await answers[-1]

        gate = SessionGate(cache, check)
        before = asyncio.create_task(gate.require(who("a")))
        await asyncio.sleep(0.05)
        after = asyncio.create_task(gate.require(who("b")))
        await asyncio.sleep(0.05)
        answers[0].set_result(state(1, "a"))
        await before
        await asyncio.sleep(0.05)
        answers[1].set_result(state(2, "b"))
        await after

    async def test_it_looks_again_within_the_second(self, cache: SessionCache) -> None:
        identity = Identity(state(1, "a"))
        gate = SessionGate(cache, identity.check)
        await gate.require(who("a"))
        identity.known = state(2, "b")
        changed = time.monotonic()
        await asyncio.sleep(max(0.0, changed + 0.5 - time.monotonic()))
        assert await refused(gate.require(who("a"))) == "SESSION_REPLACED"

    @pytest.mark.covers("I4 IdentityInternalService.BatchCheckSessions")
    async def test_it_refuses_nobody_by_what_may_be_old(self, cache: SessionCache) -> None:
        identity = Identity(state(1, "a"))
        gate = SessionGate(cache, identity.check)
        await gate.require(who("a"))
        identity.known = state(2, "b")
        await gate.require(who("b"))
        assert await refused(gate.require(who("a"))) == "SESSION_REPLACED"

    async def test_it_remembers_for_a_moment_and_then_lets_nobody_in_unasked(self, own: Servers) -> None:
        server, cache = own
        identity = Identity(state(1, "a"))
        gate = SessionGate(cache, identity.check)
        server.stop()  # first, for it may take longer than the moment
        await gate.require(who("a"))
        identity.away = True
        await gate.require(who("a"))
        assert identity.asked == 1
        await asyncio.sleep(0.51)
        assert await refused(gate.require(who("a"))) == "DEPENDENCY_UNAVAILABLE"

    async def test_a_till_is_not_looked_up_at_each_of_its_purchases(self, own: Servers) -> None:
        server, cache = own
        server.stop()
        identity = Identity(state(1, "a"))
        gate = SessionGate(cache, identity.check)
        for _ in range(100):
            await gate.require(who("a", TILL))
        assert identity.asked == 1

    @pytest.mark.covers("I6 ClientService.DisableClient")
    async def test_a_till_that_is_disabled_is_refused_within_two_seconds(self, cache: SessionCache) -> None:
        identity = Identity(state(1, "a"))
        gate = SessionGate(cache, identity.check)
        await gate.require(who("a", TILL))
        identity.known = state(2, status=SUSPENDED)
        began = time.monotonic()

        async def is_refused() -> str:
            try:
                await gate.require(who("a", TILL))
            except DomainError as error:
                return error.reason
            raise AssertionError("it was let in")

        assert await eventually(is_refused) == "ACCOUNT_SUSPENDED"
        assert time.monotonic() - began >= 1.0, "it is not looked up all the time"

    async def test_a_till_goes_on_for_minutes_while_nobody_can_be_asked(
        self, own: Servers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server, cache = own
        server.stop()
        identity, clock = Identity(state(1, "a")), Clock()
        gate = SessionGate(cache, identity.check)
        monkeypatch.setattr(sessions, "time", clock)
        await gate.require(who("a", TILL))
        identity.away = True
        for clock.turned, asked in ((2.0, 2), (6.0, 2), (8.0, 3), (299.0, 4)):
            await gate.require(who("a", TILL))
            assert identity.asked == asked, "not at each of its calls"
            assert await refused(gate.require(who("b", TILL))) == "DEPENDENCY_UNAVAILABLE"
            identity.asked = asked
        clock.turned = 305.0
        assert await refused(gate.require(who("a", TILL))) == "DEPENDENCY_UNAVAILABLE"
        identity.away, identity.known = False, state(2, "b")
        assert await refused(gate.require(who("a", TILL))) == "SESSION_ENDED"

    async def test_a_member_does_not_go_on_while_nobody_can_be_asked(
        self, own: Servers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server, cache = own
        server.stop()
        identity, clock = Identity(state(1, "a")), Clock()
        gate = SessionGate(cache, identity.check)
        monkeypatch.setattr(sessions, "time", clock)
        await gate.require(who("a"))
        identity.away, clock.turned = True, 0.5
        assert await refused(gate.require(who("a"))) == "DEPENDENCY_UNAVAILABLE"

    async def test_it_holds_whatever_happens_to_redis(self, own: Servers) -> None:
        server, cache = own
        await commit_change(cache, state(1, "a"))
        identity = Identity(state(2, "b"))
        server.stop()
        assert await refused(SessionGate(cache, identity.check).require(who("a"))) == "SESSION_REPLACED"
        server.start()
        with hung(server):
            gate = SessionGate(cache, identity.check)
            assert await refused(gate.require(who("a"))) == "SESSION_REPLACED"
            await gate.require(who("b"))

    async def test_it_forgets_rather_than_grow_without_end(
        self, cache: SessionCache, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("services.common.sessions._LOCAL_SIZE", 10)

        async def check(subject_id: str) -> SessionState:
            return SessionState(subject_id, 1, ACTIVE, frozenset({"s"}))

        gate = SessionGate(cache, check)
        for _ in range(35):
            await gate.require(Caller(str(new_id()), MEMBER, "s"))
        assert len(gate._known) <= 10
