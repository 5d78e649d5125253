"""Hashing passwords costs time: who waits for it, how long, and whom it holds up."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import pytest
from google.api import httpbody_pb2
from scrip.identity.v1 import auth_pb2, auth_pb2_grpc, client_pb2, client_pb2_grpc, member_pb2

from services.common.errors import DomainError
from services.identity.passwords import hashing as hashing_module
from services.identity.passwords.hashing import Passwords
from services.identity.settings import MEMORY_KIB
from services.identity.tests.guessing import try_in
from services.identity.tests.own_identity import own_identity
from services.identity.tests.people import DONE, People, new_user_name, outcome, tally
from tests.inprocess import ADMIN_PASSWORD, PASSWORD_KIB, Platform, bearer


def slow(seconds: float) -> Passwords:
    """Passwords whose hashes take so long, as on a busy machine."""

    class Slow:
        def hash(self, password: str) -> str:
            time.sleep(seconds)
            return password

    passwords = Passwords(PASSWORD_KIB)
    passwords._hasher = Slow()  # type: ignore[assignment]  # all that it is asked here
    return passwords


class TestLoad:
    @pytest.mark.covers("I2 AuthService.LogIn")
    async def test_logins_do_not_hold_up_other_calls(self, people: People, platform: Platform) -> None:
        member = await platform.member()
        metadata = bearer(member.token)
        names = [new_user_name() for _ in range(12)]
        storm = asyncio.gather(*(try_in(people, name, "wrong") for name in names))
        took = []
        while not storm.done():
            began = time.monotonic()
            await people.members.GetMe(member_pb2.GetMeRequest(), metadata=metadata)
            took.append(time.monotonic() - began)
            await asyncio.sleep(0.005)
        told = set(await storm)
        assert told <= {"CREDENTIALS_NOT_VALID", "OVERLOADED"}, "some may have waited too long"
        assert len(took) > 20
        assert sorted(took)[int(len(took) * 0.99)] < 2.0

    async def test_two_are_computed_at_a_time_whoever_goes_away(self) -> None:
        passwords = Passwords(MEMORY_KIB)
        began: list[float] = []
        hasher = passwords._hasher

        class Slow:
            def hash(self, password: str) -> str:
                began.append(time.monotonic())
                time.sleep(0.2)
                return hasher.type.name + password

        passwords._hasher = Slow()  # type: ignore[assignment]  # as slow as on a busy machine
        tasks = [asyncio.create_task(passwords.hash(str(number))) for number in range(8)]
        await asyncio.sleep(0.05)
        for task in tasks[:6]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert len(began) <= 5
        assert all(third - first > 0.15 for first, third in zip(began, began[2:], strict=False))

    @pytest.mark.skipif(sys.platform != "linux", reason="threads have a niceness each on Linux alone")
    @pytest.mark.parametrize("nicer", [0, 7])
    async def test_it_computes_when_nobody_else_wants_to(self, nicer: int) -> None:
        """Also in a process that is nice itself, which the thread of a loop stands for."""
        own = os.getpriority(os.PRIO_PROCESS, 0)

        def process() -> int:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), own + nicer)
            computing = Passwords(MEMORY_KIB)._off_the_loop(lambda: os.getpriority(os.PRIO_PROCESS, 0))
            return asyncio.run(computing)

        with ThreadPoolExecutor(1) as thread:
            found = await asyncio.get_running_loop().run_in_executor(thread, process)
        assert found == min(own + nicer + hashing_module._NICENESS, 19) > own
        assert os.getpriority(os.PRIO_PROCESS, 0) == own

    @pytest.mark.covers("I2 AuthService.LogIn")
    async def test_who_would_wait_too_long_is_refused_at_once(self) -> None:
        passwords = slow(seconds=0.2)
        await passwords.hash("measures how long it takes")
        passwords._seconds = 0.8  # as on a machine that is four times as busy

        async def log_in() -> None:
            async with passwords.turn():
                await asyncio.sleep(0.05)

        results = await asyncio.gather(*(log_in() for _ in range(50)), return_exceptions=True)
        refused = [one for one in results if isinstance(one, DomainError)]
        assert {error.reason for error in refused} == {"OVERLOADED"}
        assert all(error.retry_after and error.retry_after >= 4 for error in refused)
        # Two at once, and 13 who wait: twelve before one are 4.8 s, and thirteen more than five.
        assert 50 - len(refused) == 15

    async def test_who_waits_longer_than_was_expected_is_refused_then(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(hashing_module, "_LONGEST_WAIT", 0.3)
        passwords = Passwords(PASSWORD_KIB)
        async with passwords.turn(), passwords.turn():
            with pytest.raises(DomainError) as caught:
                async with asyncio.timeout(10), passwords.turn():
                    pass
        assert caught.value.reason == "OVERLOADED"
        async with asyncio.timeout(10), passwords.turn():  # and the place was not lost
            pass

    async def test_new_passwords_leave_half_of_the_time_to_logins(self) -> None:
        passwords = slow(seconds=0.3)
        passwords._seconds = 1.0
        hashing = [asyncio.create_task(passwords.hash(str(number))) for number in range(20)]
        await asyncio.sleep(0.05)

        async def log_in() -> None:
            async with passwords.turn():
                pass

        await log_in()
        results = await asyncio.gather(*hashing, return_exceptions=True)
        assert [one.reason for one in results if isinstance(one, DomainError)] == ["OVERLOADED"] * 12

    @pytest.mark.covers("I2 AuthService.LogIn", "I6 AuthService.IssueClientToken")
    async def test_fifty_right_logins_at_once_are_answered_and_hold_up_no_till(
        self, platform: Platform
    ) -> None:
        async with own_identity(platform, password_memory_kib=2 * MEMORY_KIB) as own:
            auth = auth_pb2_grpc.AuthServiceStub(own.channel)
            admin = auth_pb2.LogInRequest(
                password=auth_pb2.PasswordCredentials(user_name="admin", password=ADMIN_PASSWORD)
            )
            token = (await auth.LogIn(admin)).token.access_token
            clients = client_pb2_grpc.ClientServiceStub(own.channel)
            till = await clients.CreateClient(
                client_pb2.CreateClientRequest(display_name="Till"), metadata=bearer(token)
            )
            form = {"grant_type": "client_credentials", "client_id": till.client.id}
            data = urlencode(form | {"client_secret": till.client_secret}).encode()
            request = auth_pb2.IssueClientTokenRequest(form=httpbody_pb2.HttpBody(data=data))
            crowd = asyncio.gather(*(outcome(auth.LogIn(admin, timeout=60)) for _ in range(50)))
            issued = 0
            while not crowd.done():
                await auth.IssueClientToken(request, timeout=60)
                issued += 1
                await asyncio.sleep(0.02)
            results = tally(await crowd)
        assert set(results) <= {DONE, "OVERLOADED"}
        assert results[DONE] >= 2
        assert issued >= 5, "tills go on meanwhile"

    @pytest.mark.covers("I2 AuthService.LogIn")
    async def test_an_unknown_name_takes_as_long_as_a_wrong_password(self) -> None:
        passwords = Passwords(MEMORY_KIB)
        kept = await passwords.hash("a password")
        assert await passwords.verify(kept, "a password")
        assert not await passwords.verify(None, "nobody has this password")
        used: dict[str, float] = {}
        for name, given in (("known", kept), ("unknown", None)):
            began = time.process_time()
            for _ in range(3):
                assert not await passwords.verify(given, "wrong")
            used[name] = time.process_time() - began
        assert 0.5 < used["known"] / used["unknown"] < 2.0
