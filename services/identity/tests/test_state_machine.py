"""Random histories of members and their devices, compared with a model of a few lines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from scrip.identity.v1 import auth_pb2
from scrip.points.v1 import points_pb2, points_pb2_grpc

from services.common.cache import Redis
from services.identity.tests.devices import log_in, proven, use
from services.identity.tests.people import DONE, REGISTER, People, outcome
from tests.inprocess import bearer, new_phone

T = TypeVar("T")
DEVICES = ("phone", "tablet")
GRACE_SECONDS = 10.0
SURELY_SECONDS = 8.0
PASSWORDS = ("a horse that staples", "a zebra that counts")


@dataclass
class Login:
    """A login as the model knows it. `over` is why it has ended."""

    device: str
    tokens: list[auth_pb2.AccessToken]
    over: str = ""
    refreshed_at: float = 0.0

    @property
    def access(self) -> str:
        """The newest access token."""
        return self.tokens[-1].access_token

    @property
    def refresh_token(self) -> str:
        """The newest refresh token, which has not been used."""
        return self.tokens[-1].refresh_token


@dataclass
class Person:
    """A member as the model knows it."""

    phone: str
    id: str = ""
    password: str = ""
    suspended: bool = False
    logins: list[Login] = field(default_factory=list)

    @property
    def active(self) -> Login | None:
        """The login that goes on; there is one at most."""
        found = [login for login in self.logins if not login.over]
        assert len(found) <= 1
        return found[0] if found else None

    def end(self, why: str) -> None:
        """Whatever goes on ends."""
        for login in self.logins:
            login.over = login.over or why

    def verdict(self, login: Login) -> str:
        """Returns with which reason services refuse the login's access token, or DONE."""
        if self.suspended:
            return "ACCOUNT_SUSPENDED"
        if not login.over:
            return DONE
        return "SESSION_REPLACED" if self.active else "SESSION_ENDED"

    def refusal(self, login: Login) -> str:
        """Returns with which reason refreshing the login is refused, or DONE."""
        return "ACCOUNT_SUSPENDED" if self.suspended else login.over or DONE


@dataclass
class World:
    """The real thing, driven from another thread."""

    people: People
    admin: str
    redis: Redis
    loop: asyncio.AbstractEventLoop

    def do(self, work: Awaitable[T]) -> T:
        """Does it in the loop where the services live."""
        return asyncio.run_coroutine_threadsafe(_done(work), self.loop).result(30)


_world: ContextVar[World] = ContextVar("world")


class Logins(RuleBasedStateMachine):
    """Two members, two devices each, and staff who look after them."""

    persons = st.integers(0, 1)
    devices = st.sampled_from(DEVICES)

    def __init__(self) -> None:
        super().__init__()
        self.world = _world.get()
        self.people = self.world.people
        self.model = [Person(new_phone()) for _ in range(2)]
        self.turn = 0

    @initialize(device=devices)
    def first(self, device: str) -> None:
        """The first member is there from the beginning."""
        self.register(0, device)

    @rule(who=persons, device=devices)
    def register(self, who: int, device: str) -> None:
        """Registers, or is refused because the number has an account."""
        person = self.model[who]
        proof = self.world.do(proven(self.people, person.phone, REGISTER))
        request = auth_pb2.RegisterMemberRequest(otp=proof, full_name="Ada", device_id=device)
        call = _later(lambda: self.people.auth.RegisterMember(request))
        if person.id:
            assert self.world.do(outcome(call)) == "PHONE_TAKEN"
            return
        reply = self.world.do(call)
        person.id = reply.member.id
        person.logins.append(Login(device, [reply.token]))

    @rule(who=persons, device=devices)
    def log_in(self, who: int, device: str) -> None:
        """Logs in by one-time password."""
        person = self.model[who]
        call = log_in(self.people, person.phone, device)
        if not person.id or person.suspended:
            wanted = "ACCOUNT_SUSPENDED" if person.id else "ACCOUNT_NOT_FOUND"
            assert self.world.do(outcome(call)) == wanted
            return
        token = self.world.do(call)
        person.end("SESSION_REPLACED")
        person.logins.append(Login(device, [token]))

    @precondition(lambda self: any(person.logins for person in self.model))
    @rule(data=st.data())
    def refresh(self, data: st.DataObject) -> None:
        """Goes on with any login, ended ones too."""
        person, login = self._any_login(data)
        call = use(self.people, login.refresh_token, login.device)
        if (wanted := person.refusal(login)) != DONE:
            assert self.world.do(outcome(call)) == wanted
            return
        login.tokens.append(self.world.do(call))
        login.refreshed_at = time.monotonic()

    @precondition(lambda self: any(self._refreshed()))
    @rule(data=st.data())
    def ask_again(self, data: st.DataObject) -> None:
        """Uses the token before the newest once more, on the same device: its response was lost."""
        person, login = data.draw(st.sampled_from(list(self._refreshed())))
        since = time.monotonic() - login.refreshed_at
        if SURELY_SECONDS < since < GRACE_SECONDS + 1:
            return
        call = use(self.people, login.tokens[-2].refresh_token, login.device)
        if (wanted := person.refusal(login)) == DONE and since < GRACE_SECONDS:
            again = self.world.do(call)
            assert again.access_token == login.access
            assert again.refresh_token == login.refresh_token
            return
        self._refused_as_reused(person, login, call, wanted)

    @precondition(lambda self: any(self._refreshed()))
    @rule(data=st.data(), which=st.sampled_from((0, -2, -1)))
    def steal(self, data: st.DataObject, which: int) -> None:
        """Somebody else uses a token: the first, the last that was used, or the one that is unused."""
        person, login = data.draw(st.sampled_from(list(self._refreshed())))
        stolen = login.tokens[which].refresh_token
        self._refused_as_reused(person, login, use(self.people, stolen, "thief"), person.refusal(login))

    @precondition(lambda self: any(person.active for person in self.model))
    @rule(data=st.data(), everywhere=st.booleans())
    def log_out(self, data: st.DataObject, everywhere: bool) -> None:
        """Logs out, here or everywhere; a member's one login makes no difference."""
        person = data.draw(st.sampled_from([person for person in self.model if person.active]))
        assert person.active
        request, metadata = auth_pb2.LogOutRequest(everywhere=everywhere), bearer(person.active.access)
        call = _later(lambda: self.people.auth.LogOut(request, metadata=metadata))
        assert self.world.do(outcome(call)) == DONE
        person.end("SESSION_ENDED")

    @precondition(lambda self: any(person.id for person in self.model))
    @rule(data=st.data())
    def suspend_or_restore(self, data: st.DataObject) -> None:
        """Staff keep a member out, or let it in again; its logins have ended either way."""
        person = data.draw(st.sampled_from([person for person in self.model if person.id]))
        act = self.people.restore if person.suspended else self.people.suspend
        self.world.do(act(person.id, self.world.admin))
        person.suspended = not person.suspended
        person.end("SESSION_ENDED")

    @precondition(lambda self: any(person.active for person in self.model))
    @rule(data=st.data(), new=st.sampled_from(PASSWORDS))
    def change_password(self, data: st.DataObject, new: str) -> None:
        """Sets the password, by the old one or, when there is none, by one-time password."""
        person = data.draw(st.sampled_from([person for person in self.model if person.active]))
        assert person.active
        if person.password:
            self._change(person.active.access, person.password, new)
        else:
            self._reset(person.phone, new)
        person.password = new
        person.end("SESSION_ENDED")

    def _change(self, token: str, old: str, new: str) -> None:
        request = auth_pb2.ChangePasswordRequest(current_password=old, new_password=new)
        call = _later(lambda: self.people.auth.ChangePassword(request, metadata=bearer(token)))
        assert self.world.do(outcome(call)) == DONE

    def _reset(self, phone: str, new: str) -> None:
        proof = self.world.do(proven(self.people, phone, auth_pb2.OTP_PURPOSE_RESET_PASSWORD))
        request = auth_pb2.ResetPasswordRequest(otp=proof, new_password=new)
        call = _later(lambda: self.people.auth.ResetPassword(request))
        assert self.world.do(outcome(call)) == DONE

    @rule()
    def flush(self) -> None:
        """Redis forgets everything, and nobody notices."""
        self.world.do(self.world.redis.client.flushall())

    @invariant()
    def the_services_agree_with_the_model(self) -> None:
        """Identity and points judge the access tokens as the model does, the oldest and the newest."""
        self.turn += 1
        for person in self.model:
            for login in person.logins:
                token = login.tokens[0 if self.turn % 2 else -1].access_token
                assert self.world.do(self._judged(token)) == {person.verdict(login)}

    async def _judged(self, token: str) -> set[str]:
        points = points_pb2_grpc.PointsServiceStub(self.people.platform.channels["points"])
        balance = points.GetMyBalance(points_pb2.GetMyBalanceRequest(), metadata=bearer(token))
        return {await outcome(self.people.me(token)), await outcome(balance)}

    def _refused_as_reused(self, person: Person, login: Login, call: Any, wanted: str) -> None:
        if wanted == DONE:
            wanted = login.over = "REFRESH_TOKEN_REUSED"
        assert self.world.do(outcome(call)) == wanted

    def _any_login(self, data: st.DataObject) -> tuple[Person, Login]:
        pairs = [(person, login) for person in self.model for login in person.logins]
        return data.draw(st.sampled_from(pairs))

    def _refreshed(self) -> Iterator[tuple[Person, Login]]:
        for person in self.model:
            for login in person.logins:
                if len(login.tokens) > 1:
                    yield person, login


async def _done(work: Awaitable[T]) -> T:
    return await work


async def _later(call: Callable[[], Awaitable[T]]) -> T:
    """A call that is made in the loop and not in the machine's thread."""
    return await call()


@contextmanager
def driven(world: World) -> Iterator[None]:
    """The world that machines made in this context drive."""
    token = _world.set(world)
    try:
        yield
    finally:
        _world.reset(token)


@pytest.mark.covers("I4 AuthService.LogIn")
@pytest.mark.timeout(300)
async def test_whatever_members_do_one_device_at_most_is_active(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Services look at every call: what they may remember for a moment is tested by itself.
    monkeypatch.setattr("services.common.sessions._LOCAL_SECONDS", 0.0)
    redis = Redis(people.platform.redis_url, seconds=1)
    world = World(people, await people.platform.admin(), redis, asyncio.get_running_loop())
    bounds = settings(
        max_examples=25,
        stateful_step_count=15,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    with driven(world):
        await asyncio.to_thread(run_state_machine_as_test, Logins, settings=bounds)
    await redis.close()
