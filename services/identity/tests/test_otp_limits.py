"""How many one-time passwords may be asked for, and what there is without a sender."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from scrip.identity.v1 import auth_pb2, auth_pb2_grpc, sandbox_pb2, sandbox_pb2_grpc

from services.identity.commands.end_otp_delivery import fail_late_deliveries
from services.identity.commands.send_otp import forget_old_otps
from services.identity.jobs import forget_all
from services.identity.tests.people import DONE, REGISTER, outcome
from services.identity.tests.sending import Sending, sending
from tests.inprocess import Platform, bearer, new_phone, reason, refusal
from tests.spare_redis import SpareRedis


async def test_with_no_sender_nothing_is_made(platform: Platform) -> None:
    async with sending(platform, worker=False, otp_sender="none") as identity:
        assert await refusal(identity.ask()) == (
            "DEPENDENCY_UNAVAILABLE",
            grpc.StatusCode.UNAVAILABLE,
            {"dependency": "otp_sender"},
        )
        assert await identity.rows("SELECT id FROM otps") == []


async def test_the_sandbox_keeps_and_logs_codes_only_while_it_is_on(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    auth = auth_pb2_grpc.AuthServiceStub(platform.channels["identity"])
    sent = await auth.SendOtp(auth_pb2.SendOtpRequest(phone=new_phone(), purpose=REGISTER))
    request, admin = sandbox_pb2.GetOtpRequest(otp_id=sent.otp_id), bearer(await platform.admin())
    sandbox = sandbox_pb2_grpc.SandboxServiceStub(platform.channels["identity"])
    code = (await sandbox.GetOtp(request, metadata=admin)).code
    assert f"the code of one-time password {sent.otp_id} is {code}" in caplog.text
    for token in (await platform.token("manager"), await platform.till()):
        assert await reason(sandbox.GetOtp(request, metadata=bearer(token))) == "ROLE_NOT_ALLOWED"
    async with sending(platform, worker=False, otp_sender="none") as identity:
        closed = sandbox_pb2_grpc.SandboxServiceStub(identity.own.channel)
        assert await reason(closed.GetOtp(request, metadata=admin)) == "NOT_SERVED"


@asynccontextmanager
async def limited(platform: Platform, redis: SpareRedis, **limits: int) -> AsyncIterator[Sending]:
    """An identity with a Redis and limits of its own."""
    changes: dict[str, Any] = {"sandbox": True, "otp_sender": "sandbox", "redis_url": redis.url, **limits}
    async with sending(platform, worker=False, **changes) as identity:
        yield identity


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[SpareRedis]:
    """A server of the test's own."""
    server = SpareRedis(tmp_path / "redis")
    server.start()
    yield server
    server.stop()


async def assert_given(most: int, calls: Sequence[Awaitable[auth_pb2.SendOtpResponse]]) -> int:
    """Of calls at once `most` got a code, but for those counted by a Redis that was slow to say so."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    failed = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    given = len(answers) - len(failed)
    unheard = sum(error.code() == grpc.StatusCode.UNAVAILABLE for error in failed)
    assert given <= most <= given + unheard
    return given


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        ({"otp_sends_per_address": 3}, "otp_sends_per_address"),
        ({"otp_sends_in_all": 3, "otp_sends_per_address": 100}, "otp_sends_in_all"),
    ],
)
async def test_one_address_and_all_together_may_ask_for_so_many_codes(
    platform: Platform, own_redis: SpareRedis, limits: dict[str, int], named: str
) -> None:
    async with limited(platform, own_redis, **limits) as identity:
        await assert_given(3, [identity.ask() for _ in range(20)])
        told, code, metadata = await refusal(identity.ask())
        assert (told, code) == ("TOO_MANY_REQUESTS", grpc.StatusCode.RESOURCE_EXHAUSTED)
        assert metadata["limit"] == named
        assert 0 < int(metadata["retry_after_seconds"]) <= 600
        assert len(await identity.rows("SELECT id FROM otps")) <= 3


async def test_who_has_a_whole_network_of_ipv6_is_one_address(
    platform: Platform, own_redis: SpareRedis
) -> None:
    async def ask(address: str) -> str:
        request = auth_pb2.SendOtpRequest(phone=new_phone(), purpose=REGISTER)
        metadata = (("x-envoy-external-address", address),)
        return await outcome(identity.auth.SendOtp(request, metadata=metadata))

    async with limited(platform, own_redis, otp_sends_per_address=3) as identity:
        await identity.sent()
        inside = [await ask(f"2001:db8:1:2:{n:x}::1") for n in range(6)]
        assert inside.count(DONE) <= 3
        assert inside[-2:] == ["TOO_MANY_REQUESTS"] * 2
        assert await ask("2001:db8:1:3::1") == DONE
        mapped = [await ask(address) for address in ["::ffff:192.0.2.1", "192.0.2.1"] * 3]
        assert mapped.count(DONE) <= 3
        assert mapped[-2:] == ["TOO_MANY_REQUESTS"] * 2
        assert await ask("192.0.2.2") == DONE


async def test_old_codes_are_forgotten_faster_than_they_can_come(platform: Platform) -> None:
    async with sending(platform, worker=False, otp_sender="none") as identity:
        await identity.rows(
            "WITH made AS (INSERT INTO otps (id, phone, purpose, code_hash, expires_at)"
            " SELECT gen_random_uuid(), '+14155550100', 'x', '', now() - make_interval(mins => n / 100 + 1)"
            " FROM generate_series(0, 11999) AS n RETURNING id)"
            " INSERT INTO otp_deliveries (otp_id, sealed_code) SELECT id, '' FROM made RETURNING 1"
        )
        await forget_all(identity.own.database, fail_late_deliveries)
        waiting = "SELECT count(*) FROM otp_deliveries WHERE failed_at IS NULL OR sealed_code IS NOT NULL"
        assert await identity.rows(waiting) == [(0,)]
        await forget_all(identity.own.database, forget_old_otps)
        assert await identity.rows("SELECT count(*) FROM otps") == [(12_000,)], "staff may want to see them"
        older = "UPDATE otps SET expires_at = expires_at - interval '7 days' + interval '1 hour' RETURNING 1"
        await identity.rows(older)
        await forget_all(identity.own.database, forget_old_otps)
        assert await identity.rows("SELECT count(*) FROM otps") == [(5_900,)]
        await identity.rows("DELETE FROM otp_deliveries RETURNING 1")
        await forget_all(identity.own.database, forget_old_otps)
        assert await identity.rows("SELECT count(*) FROM otps") == [(0,)]


async def test_fifty_askers_for_one_number_at_once_get_five_codes(
    platform: Platform, own_redis: SpareRedis
) -> None:
    phone = new_phone()
    spellings = [phone, f"{phone[:2]} {phone[2:5]} {phone[5:]}", phone[2:], f"({phone[2:5]}) {phone[5:]}"]
    async with limited(platform, own_redis, otp_sends_per_address=1000) as identity:
        calls = [identity.ask(spellings[n % 4]) for n in range(50)]
        given = await assert_given(5, calls)
        assert await identity.rows("SELECT phone, count(*) FROM otps GROUP BY phone") == [(phone, given)]


async def test_without_redis_no_code_is_sent(platform: Platform, own_redis: SpareRedis) -> None:
    async with limited(platform, own_redis, otp_sends_per_address=1000) as identity:
        await identity.sent()
        own_redis.stop()
        for _ in range(10):
            assert await refusal(identity.ask()) == (
                "DEPENDENCY_UNAVAILABLE",
                grpc.StatusCode.UNAVAILABLE,
                {"dependency": "redis"},
            )
        assert len(await identity.rows("SELECT id FROM otps")) == 1
        own_redis.start()
        await identity.sent()
