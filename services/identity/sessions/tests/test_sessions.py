"""One active device per member, whatever happens to Redis, and several logins of staff where allowed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import redis.asyncio as plain_redis
from pydantic import ValidationError
from scrip.identity.v1 import auth_pb2, auth_pb2_grpc, staff_pb2, staff_pb2_grpc
from scrip.points.v1 import points_pb2, points_pb2_grpc
from scrip.promos.v1 import reward_pb2, reward_pb2_grpc
from scrip.vouchers.v1 import wallet_pb2, wallet_pb2_grpc

from services.identity.tests.devices import Device, device_of, proven, use
from services.identity.tests.own_identity import own_identity
from services.identity.tests.people import DONE, LOG_IN, PASSWORD, REGISTER, People, outcome, outcomes, tally
from stack.redis import Redis as RedisServer
from tests.inprocess import ADMIN_PASSWORD, InProcess, Platform, bearer, eventually, new_phone, reason

SECOND = 1.0
REPLACED = {"SESSION_REPLACED"}


@dataclass
class Faults:
    """What can happen to the Redis of all services."""

    server: RedisServer

    async def flush(self) -> None:
        """It forgets everything."""
        async with plain_redis.Redis.from_url(self.server.url) as client:
            await client.flushall()

    async def save(self) -> None:
        """It writes a snapshot, which it reads when it starts again."""
        async with plain_redis.Redis.from_url(self.server.url) as client:
            await client.save()

    def signal(self, number: signal.Signals) -> None:
        """Stops it in its tracks, or lets it go on."""
        assert self.server._process
        os.kill(self.server._process.pid, number)

    async def stop(self) -> None:
        """It is gone."""
        await asyncio.to_thread(self.server.stop)

    async def start(self) -> None:
        """It is there again."""
        if self.server._process is None:
            self.server._process = process = await asyncio.to_thread(self._run)

            async def is_ready() -> None:
                assert await asyncio.to_thread(self.server.is_ready, process.pid)

            await eventually(is_ready)

    def _run(self) -> subprocess.Popen[bytes]:
        # With nothing to do before its program runs, the child is not forked: gRPC may be in use here.
        return subprocess.Popen(self.server.command(), start_new_session=True)


@pytest.fixture
async def faults(redis_server: RedisServer, people: People) -> AsyncIterator[Faults]:
    """Redis to play with; it is well again afterwards, and all services know."""
    found = Faults(redis_server)
    yield found
    if redis_server._process:
        found.signal(signal.SIGCONT)
    await found.start()
    (redis_server.folder / "dump.rdb").unlink(missing_ok=True)

    async def redis_is_used() -> None:
        assert await outcome(people.prove(new_phone(), REGISTER)) == DONE

    await eventually(redis_is_used)


async def log_in_twice(people: People, fault: Callable[[], Awaitable[None]]) -> tuple[Device, Device, float]:
    """Two logins of a member, with a fault between them, and when the second one was done."""
    member = await people.platform.member()
    old = await device_of(people, member)
    assert await people.answers(old.access) == {DONE}
    await fault()
    new = await device_of(people, member)
    return old, new, time.monotonic()


async def assert_replaced(people: People, old: Device, new: Device, since: float) -> None:
    """That from a second after `since` on the old device is out everywhere, and the new one is in."""
    assert await people.answers(new.access) == {DONE}
    await asyncio.sleep(max(0.0, since + SECOND - time.monotonic()))
    assert await people.answers(old.access) == REPLACED
    assert await people.answers(new.access) == {DONE}
    assert await reason(use(people, old.token.refresh_token, old.id)) == "SESSION_REPLACED"
    await new.refresh()
    assert await people.answers(new.access) == {DONE}


async def nothing() -> None:
    pass


@pytest.mark.covers("I4 AuthService.LogIn")
async def test_a_second_device_logs_out_the_first_everywhere_within_a_second(people: People) -> None:
    old, new, since = await log_in_twice(people, nothing)
    await assert_replaced(people, old, new, since)


async def test_the_new_device_is_let_in_at_once_where_the_old_one_was_seen_a_moment_ago(
    people: People,
) -> None:
    old, new, _ = await log_in_twice(people, nothing)
    assert await people.answers(new.access) == {DONE}
    assert await people.answers(old.access) == REPLACED, "they have just looked"


@pytest.mark.covers("I4 AuthService.LogIn")
async def test_of_fifty_logins_at_once_exactly_one_works(people: People) -> None:
    phone = new_phone()
    made = await people.register(otp=await proven(people, phone, REGISTER))
    by_password = auth_pb2.PasswordCredentials(user_name=phone, password=PASSWORD)
    proofs = [await proven(people, phone, LOG_IN) for _ in range(46)]
    requests = [
        *(auth_pb2.LogInRequest(otp=proof, device_id=proof.otp_id) for proof in proofs),
        *(auth_pb2.LogInRequest(password=by_password, device_id=f"device-{n}") for n in range(4)),
    ]
    replies = await asyncio.gather(*(people.auth.LogIn(request) for request in requests))
    tokens = [reply.token for reply in replies]
    await asyncio.sleep(SECOND)
    answers = [await people.answers(token.access_token) for token in tokens]
    assert answers.count({DONE}) == 1
    assert answers.count(REPLACED) == 49
    refreshed = await outcomes(
        use(people, token.refresh_token, request.device_id)
        for token, request in zip(tokens, requests, strict=True)
    )
    assert tally(refreshed) == {DONE: 1, "SESSION_REPLACED": 49}
    assert refreshed.index(DONE) == answers.index({DONE})
    assert await people.answers(made.token.access_token) == REPLACED
    query = "SELECT count(*) FROM sessions WHERE account_id = %(id)s AND ended_at IS NULL"
    assert await people.rows("identity", query, id=made.member.id) == [(1,)]


@pytest.mark.covers("I4 AuthService.LogIn")
async def test_it_holds_with_redis_flushed(people: People, faults: Faults) -> None:
    old, new, since = await log_in_twice(people, faults.flush)
    await faults.flush()
    await assert_replaced(people, old, new, since)


@pytest.mark.covers("I4 AuthService.LogIn")
async def test_it_holds_with_redis_stopped_and_started_again(people: People, faults: Faults) -> None:
    old, new, since = await log_in_twice(people, faults.stop)
    await assert_replaced(people, old, new, since)
    await faults.start()
    await assert_never_again(people, old, new)


@pytest.mark.covers("I4 AuthService.LogIn")
async def test_it_holds_with_redis_restarted_between_the_logins(people: People, faults: Faults) -> None:
    async def restart() -> None:
        await faults.stop()
        await faults.start()

    old, new, since = await log_in_twice(people, restart)
    await assert_replaced(people, old, new, since)


@pytest.mark.covers("I4 AuthService.LogIn")
async def test_it_holds_with_redis_hung(people: People, faults: Faults) -> None:
    async def hang() -> None:
        faults.signal(signal.SIGSTOP)

    old, new, since = await log_in_twice(people, hang)
    await assert_replaced(people, old, new, since)
    faults.signal(signal.SIGCONT)
    await assert_never_again(people, old, new)


async def test_what_a_hung_redis_held_is_not_believed_when_it_goes_on(people: People, faults: Faults) -> None:
    async def hang() -> None:
        faults.signal(signal.SIGSTOP)
        # Identity has given up on it, so it is sent nothing that it would read when it goes on.
        await asyncio.sleep(SECOND)

    old, new, since = await log_in_twice(people, hang)
    # Nobody looks while it hangs, so nobody knows better when it goes on.
    await asyncio.sleep(max(0.0, since + SECOND - time.monotonic()))
    faults.signal(signal.SIGCONT)
    await assert_never_again(people, old, new)


async def test_it_holds_with_redis_hung_for_a_moment(people: People, faults: Faults) -> None:
    async def hang() -> None:
        faults.signal(signal.SIGSTOP)

    old, new, since = await log_in_twice(people, hang)
    faults.signal(signal.SIGCONT)
    await asyncio.sleep(max(0.0, since + SECOND - time.monotonic()))
    await assert_never_again(people, old, new)


@pytest.mark.covers("I4 AuthService.LogIn")
async def test_it_holds_with_redis_restored_from_an_old_snapshot(people: People, faults: Faults) -> None:
    old, new, since = await log_in_twice(people, faults.save)
    snapshot = faults.server.folder / "dump.rdb"
    assert snapshot.stat().st_size > 200
    await faults.stop()
    await faults.start()
    async with plain_redis.Redis.from_url(faults.server.url) as client:
        assert [key async for key in client.scan_iter("session:*")], "the snapshot was read"
    await asyncio.sleep(max(0.0, since + SECOND - time.monotonic()))
    await assert_never_again(people, old, new)


async def assert_never_again(people: People, old: Device, new: Device) -> None:
    """That for a second and more nobody takes the old device for active."""
    deadline = time.monotonic() + 1.3
    while time.monotonic() < deadline:
        assert await people.answers(old.access) == REPLACED
    assert await people.answers(new.access) == {DONE}


@asynccontextmanager
async def identity_away(in_process: InProcess, device: Device) -> AsyncIterator[None]:
    """Identity's server is gone; afterwards it is back, and the device is let in by all."""
    await in_process.platform.stop("identity")
    try:
        yield
    finally:
        await in_process.start_service("identity")

    async def let_in() -> None:
        assert await outcome(device.people.me(device.access)) == DONE
        assert await elsewhere(device.people, device.access) == {DONE}

    await eventually(let_in, seconds=10)


@pytest.mark.covers("I4 IdentityInternalService.BatchCheckSessions")
async def test_without_redis_and_identity_nobody_is_let_in(
    people: People, in_process: InProcess, faults: Faults
) -> None:
    device = await device_of(people, await people.platform.member())
    assert await people.answers(device.access) == {DONE}
    async with identity_away(in_process, device):
        await faults.stop()
        await asyncio.sleep(SECOND)
        assert await elsewhere(people, device.access) == {"DEPENDENCY_UNAVAILABLE"}
        await faults.start()


@pytest.mark.covers("I4 IdentityInternalService.BatchCheckSessions")
async def test_without_identity_those_who_are_known_go_on(people: People, in_process: InProcess) -> None:
    device = await device_of(people, await people.platform.member())
    async with identity_away(in_process, device):
        await asyncio.sleep(SECOND)

        async def let_in() -> None:
            # Identity's worker goes on renewing the lease.
            assert await elsewhere(people, device.access) == {DONE}

        await eventually(let_in)


@pytest.mark.covers("I4 AuthService.LogIn", "I4 AuthService.LogOut")
async def test_of_several_logins_of_staff_the_oldest_end_where_several_are_allowed(
    platform: Platform,
) -> None:
    async with own_identity(platform, staff_sessions=2, redis_url=platform.redis_url[:-1] + "1") as own:
        auth = auth_pb2_grpc.AuthServiceStub(own.channel)
        staff = staff_pb2_grpc.StaffServiceStub(own.channel)

        async def log_in() -> auth_pb2.AccessToken:
            given = auth_pb2.PasswordCredentials(user_name="admin", password=ADMIN_PASSWORD)
            return (await auth.LogIn(auth_pb2.LogInRequest(password=given))).token

        async def works(token: auth_pb2.AccessToken) -> str:
            call = staff.ListStaff(staff_pb2.ListStaffRequest(), metadata=bearer(token.access_token))
            return await outcome(call)

        async def refreshed(token: auth_pb2.AccessToken) -> str:
            request = auth_pb2.RefreshSessionRequest(refresh_token=token.refresh_token)
            return await outcome(auth.RefreshSession(request))

        in_turn = [await log_in() for _ in range(3)]
        await asyncio.sleep(SECOND)
        assert [await works(token) for token in in_turn] == ["SESSION_ENDED", DONE, DONE]
        assert await refreshed(in_turn[0]) == "SESSION_REPLACED"
        assert await refreshed(in_turn[1]) == DONE
        at_once = await asyncio.gather(*(log_in() for _ in range(5)))
        await asyncio.sleep(SECOND)
        assert tally([await works(token) for token in at_once]) == {DONE: 2, "SESSION_ENDED": 3}
        assert [await works(token) for token in in_turn] == ["SESSION_ENDED"] * 3

        last = [token for token in at_once if await works(token) == DONE]
        await auth.LogOut(auth_pb2.LogOutRequest(), metadata=bearer(last[0].access_token))
        await asyncio.sleep(SECOND)
        assert [await works(token) for token in last] == ["SESSION_ENDED", DONE]
        everywhere = auth_pb2.LogOutRequest(everywhere=True)
        await auth.LogOut(everywhere, metadata=bearer(last[1].access_token))
        await asyncio.sleep(SECOND)
        assert [await works(token) for token in last] == ["SESSION_ENDED"] * 2


async def test_staff_may_not_have_more_than_ten_logins(platform: Platform) -> None:
    settings = platform.settings["identity"]
    with pytest.raises(ValidationError):
        type(settings)(**settings.model_dump() | {"staff_sessions": 11})


async def elsewhere(people: People, token: str) -> set[str]:
    """Returns what the services other than identity answer to a token."""
    channels, metadata = people.platform.channels, bearer(token)
    points = points_pb2_grpc.PointsServiceStub(channels["points"])
    wallet = wallet_pb2_grpc.WalletServiceStub(channels["vouchers"])
    rewards = reward_pb2_grpc.RewardServiceStub(channels["promos"])
    calls: list[Awaitable[object]] = [
        points.GetMyBalance(points_pb2.GetMyBalanceRequest(), metadata=metadata),
        wallet.ListMyVouchers(wallet_pb2.ListMyVouchersRequest(), metadata=metadata),
        rewards.ListMyRewards(reward_pb2.ListMyRewardsRequest(), metadata=metadata),
    ]
    return set(await outcomes(calls))
