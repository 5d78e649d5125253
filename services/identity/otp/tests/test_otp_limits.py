"""How many one-time passwords may be asked for, and what there is without a sender."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from scrip.identity.v1 import auth_pb2, auth_pb2_grpc, otp_pb2, sandbox_pb2, sandbox_pb2_grpc

from services.common.cache import Redis
from services.common.errors import DomainError
from services.common.ids import utc_now
from services.common.throttle import Limit, Throttle
from services.identity.accounts import PER_ADDRESS
from services.identity.commands import forgive_guesses
from services.identity.jobs import forget_all
from services.identity.otp.commands import forget_old_otps
from services.identity.otp.delivery_commands import fail_late_deliveries
from services.identity.otp.proof import PER_RECIPIENT
from services.identity.passwords import Passwords
from services.identity.tests.people import DONE, LOG_IN, PASSWORD, REGISTER, new_user_name, outcome
from services.identity.tests.sending import Sending, sending
from tests.inprocess import Platform, bearer, eventually, new_phone, reason, refusal
from tests.spare_redis import SpareRedis

RESET = auth_pb2.OTP_PURPOSE_RESET_PASSWORD


@pytest.mark.covers("I1 AuthService.SendOtp")
async def test_with_no_sender_nothing_is_made(platform: Platform) -> None:
    async with sending(platform, worker=False, otp_sender="none") as identity:
        assert await refusal(identity.ask()) == (
            "DEPENDENCY_UNAVAILABLE",
            grpc.StatusCode.UNAVAILABLE,
            {"dependency": "otp_sender"},
        )
        assert await identity.rows("SELECT id FROM otps") == []


@pytest.mark.covers("I1 SandboxService.GetOtp")
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


def came_from(address: str) -> tuple[tuple[str, str]]:
    """Returns the edge's header with a call's address."""
    return (("x-envoy-external-address", address),)


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


@pytest.mark.covers("I1 AuthService.SendOtp")
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


@pytest.mark.covers("I1 AuthService.SendOtp")
async def test_each_answer_says_when_the_next_one_may_be_asked_for(
    platform: Platform, own_redis: SpareRedis
) -> None:
    phone = new_phone()
    async with limited(platform, own_redis, redis_seconds=1) as identity:
        sent = [await identity.sent(phone) for _ in range(platform.settings["identity"].otp_sends_per_phone)]
        waits = [one.next_send_at.ToDatetime(tzinfo=UTC) - utc_now() for one in sent]
        assert all(wait <= timedelta() for wait in waits[:-1]), "at once"
        told, _, metadata = await refusal(identity.ask(phone))
        assert (told, metadata["limit"]) == ("TOO_MANY_REQUESTS", "otp_sends_per_phone")
        left = timedelta(seconds=int(metadata["retry_after_seconds"]))
        assert timedelta(seconds=540) < waits[-1] <= left + timedelta(seconds=60)
        other = await identity.sent(new_phone())
        assert other.next_send_at.ToDatetime(tzinfo=UTC) <= utc_now(), "another number does not wait"


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


@pytest.mark.covers("I1 MemberAdminService.ListOtpDeliveries")
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


@pytest.mark.covers("I1 AuthService.SendOtp")
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


class TestGuessing:
    """Five tries per code bound what one code is worth; these bound what the next ones are."""

    async def test_twenty_wrong_codes_close_a_number_to_the_right_one(
        self, platform: Platform, own_redis: SpareRedis
    ) -> None:
        phone = new_phone()
        async with limited(platform, own_redis, otp_sends_per_phone=50) as identity:
            made = await code_for(identity, phone, REGISTER)
            await identity.register(made.otp_id, made.code)
            for purpose in (LOG_IN, RESET, LOG_IN, RESET):
                proof = wrong(await code_for(identity, phone, purpose))
                told = [await try_code(identity, proof, purpose) for _ in range(5)]
                assert told == ["OTP_NOT_VALID"] * 4 + ["OTP_TRIES_EXHAUSTED"]
            for guessed in (False, True):
                proof = await code_for(identity, phone, LOG_IN)
                request = auth_pb2.LogInRequest(otp=wrong(proof) if guessed else proof)
                stranger = came_from("192.0.2.3")
                name, code, metadata = await refusal(identity.auth.LogIn(request, metadata=stranger))
                assert (name, code) == ("TOO_MANY_REQUESTS", grpc.StatusCode.RESOURCE_EXHAUSTED)
                assert metadata["limit"] == "wrong_otps_per_recipient"
                assert 14_000 < int(metadata["retry_after_seconds"]) <= 14_400
            other = await code_for(identity, new_phone(), REGISTER)
            await identity.register(other.otp_id, other.code)

    @pytest.mark.parametrize("by", ["device", "address"])
    async def test_a_stranger_who_guesses_does_not_shut_out_the_owner(
        self, platform: Platform, own_redis: SpareRedis, by: str
    ) -> None:
        phone, device = new_phone(), "device-of-the-owner"
        async with limited(platform, own_redis, otp_sends_per_phone=50) as identity:
            made = await code_for(identity, phone, REGISTER)
            register = auth_pb2.RegisterMemberRequest(full_name="Ada", otp=made, device_id=device)
            await identity.auth.RegisterMember(register, metadata=came_from("192.0.2.1"))
            await hit(platform, own_redis, PER_RECIPIENT, phone, 20)

            async def log_in(device_id: str, address: str) -> str:
                proof = await code_for(identity, phone, LOG_IN)
                request = auth_pb2.LogInRequest(otp=proof, device_id=device_id)
                return await outcome(identity.auth.LogIn(request, metadata=came_from(address)))

            assert await log_in("another", "192.0.2.7") == "TOO_MANY_REQUESTS"
            known = {"device": (device, "192.0.2.8"), "address": ("", "192.0.2.1")}[by]
            assert await log_in(*known) == DONE
            reset = auth_pb2.ResetPasswordRequest(
                otp=await code_for(identity, phone, RESET), new_password=PASSWORD, device_id=device
            )
            assert await outcome(identity.auth.ResetPassword(reset, metadata=came_from("192.0.2.9"))) == DONE

    async def test_a_right_code_does_not_count(self, platform: Platform, own_redis: SpareRedis) -> None:
        phone = new_phone()
        async with limited(platform, own_redis, otp_sends_per_phone=50) as identity:
            made = await code_for(identity, phone, REGISTER)
            await identity.register(made.otp_id, made.code)
            await hit(platform, own_redis, PER_RECIPIENT, phone, 19)
            for _ in range(2):
                assert await try_code(identity, await code_for(identity, phone, LOG_IN), LOG_IN) == DONE
            used = await code_for(identity, phone, LOG_IN)
            # What can not be tried any more, or not for this, is not guessed at.
            assert await try_code(identity, used, RESET) == "OTP_NOT_VALID"
            assert await try_code(identity, used, LOG_IN) == DONE
            assert await try_code(identity, used, LOG_IN) == "OTP_NOT_VALID"
            last = await code_for(identity, phone, LOG_IN)
            stranger = "192.0.2.3"
            assert await try_code(identity, wrong(last), LOG_IN, stranger) == "OTP_NOT_VALID"
            assert await try_code(identity, last, LOG_IN, stranger) == "TOO_MANY_REQUESTS"

    async def test_wrong_codes_and_wrong_passwords_from_one_address_count_together(
        self, platform: Platform, own_redis: SpareRedis
    ) -> None:
        here, there = came_from("192.0.2.1"), came_from("192.0.2.2")
        async with limited(platform, own_redis) as identity:
            right = await code_for(identity, new_phone(), REGISTER)
            await hit(platform, own_redis, PER_ADDRESS, "192.0.2.1", 98)
            guess = auth_pb2.RegisterMemberRequest(full_name="Eve", otp=wrong(right))
            register = identity.auth.RegisterMember
            assert await outcome(register(guess, metadata=here)) == "OTP_NOT_VALID"
            other = auth_pb2.LogInRequest(otp=wrong(await code_for(identity, new_phone(), LOG_IN)))
            assert await outcome(identity.auth.LogIn(other, metadata=here)) == "OTP_NOT_VALID"
            given = auth_pb2.PasswordCredentials(user_name="nobody", password="wrong")
            password = auth_pb2.LogInRequest(password=given)
            assert await outcome(identity.auth.LogIn(password, metadata=here)) == "TOO_MANY_REQUESTS"
            request = auth_pb2.RegisterMemberRequest(full_name="Ada", otp=right)
            assert await outcome(register(request, metadata=here)) == "TOO_MANY_REQUESTS"
            assert await outcome(register(request, metadata=there)) == DONE

    async def test_without_redis_each_code_has_its_five_tries(
        self, platform: Platform, own_redis: SpareRedis
    ) -> None:
        async with limited(platform, own_redis) as identity:
            proofs = [await code_for(identity, new_phone(), REGISTER) for _ in range(2)]
            own_redis.stop()
            told = [await try_code(identity, wrong(proofs[0]), REGISTER) for _ in range(6)]
            assert told == ["OTP_NOT_VALID"] * 4 + ["OTP_TRIES_EXHAUSTED"] * 2
            assert await try_code(identity, proofs[1], REGISTER) == DONE


class TestRegistrations:
    async def test_one_address_registers_so_many_members_in_any_way(
        self, platform: Platform, own_redis: SpareRedis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hashed, hash_ = 0, Passwords.hash

        async def counted(passwords: Passwords, password: str) -> str:
            nonlocal hashed
            hashed += 1
            return await hash_(passwords, password)

        async with limited(platform, own_redis, registrations_per_address=3) as identity:
            monkeypatch.setattr(Passwords, "hash", counted)
            by_code = await code_for(identity, new_phone(), REGISTER)
            assert await try_code(identity, wrong(by_code), REGISTER) == "OTP_NOT_VALID", "it is not counted"
            assert await try_code(identity, by_code, REGISTER) == DONE
            assert [await outcome(by_password(identity)) for _ in range(2)] == [DONE] * 2
            name, code, metadata = await refusal(by_password(identity))
            assert (name, code) == ("TOO_MANY_REQUESTS", grpc.StatusCode.RESOURCE_EXHAUSTED)
            assert metadata["limit"] == "registrations_per_address"
            assert 0 < int(metadata["retry_after_seconds"]) <= 600
            assert hashed == 2, "one who is refused costs no hash"
            another = await code_for(identity, new_phone(), REGISTER)
            assert await try_code(identity, another, REGISTER) == "TOO_MANY_REQUESTS"
            assert await outcome(by_password(identity, "192.0.2.9")) == DONE

    async def test_without_redis_people_register_and_are_still_counted(
        self, platform: Platform, own_redis: SpareRedis
    ) -> None:
        async with limited(platform, own_redis, registrations_per_address=3) as identity:
            own_redis.stop()
            told = [await outcome(by_password(identity)) for _ in range(5)]
            assert told == [DONE] * 3 + ["TOO_MANY_REQUESTS"] * 2


def by_password(identity: Sending, address: str = "192.0.2.1") -> Awaitable[auth_pb2.RegisterMemberResponse]:
    """Registers somebody with a user name."""
    request = auth_pb2.RegisterMemberRequest(
        full_name="Grace Hopper", user_name=new_user_name(), password=PASSWORD
    )
    return identity.auth.RegisterMember(request, metadata=came_from(address))


async def code_for(identity: Sending, phone: str, purpose: auth_pb2.OtpPurpose.ValueType) -> otp_pb2.OtpProof:
    """Returns a one-time password, asked for until Redis was quick enough to count it."""

    async def ask() -> str:
        try:
            sent = await identity.auth.SendOtp(auth_pb2.SendOtpRequest(phone=phone, purpose=purpose))
        except grpc.aio.AioRpcError as error:
            raise AssertionError from error
        return sent.otp_id

    otp_id = await eventually(ask)
    query = "SELECT code FROM sandbox_otps WHERE otp_id = CAST(%(id)s AS uuid)"
    [(code,)] = await identity.rows(query, id=otp_id)
    return otp_pb2.OtpProof(otp_id=otp_id, code=code)


def wrong(proof: otp_pb2.OtpProof) -> otp_pb2.OtpProof:
    """Another code than the right one."""
    return otp_pb2.OtpProof(otp_id=proof.otp_id, code=f"{(int(proof.code) + 1) % 1_000_000:06d}")


async def try_code(
    identity: Sending,
    proof: otp_pb2.OtpProof,
    purpose: auth_pb2.OtpPurpose.ValueType,
    address: str = "192.0.2.1",
) -> str:
    """Returns what becomes of using a code for what it is for."""
    auth, metadata = identity.auth, came_from(address)
    if purpose == REGISTER:
        request = auth_pb2.RegisterMemberRequest(full_name="Grace Hopper", otp=proof)
        return await outcome(auth.RegisterMember(request, metadata=metadata))
    if purpose == RESET:
        reset = auth_pb2.ResetPasswordRequest(otp=proof, new_password=PASSWORD)
        return await outcome(auth.ResetPassword(reset, metadata=metadata))
    return await outcome(auth.LogIn(auth_pb2.LogInRequest(otp=proof), metadata=metadata))


async def hit(platform: Platform, redis: SpareRedis, limit: Limit, key: str, times: int) -> None:
    """Counts failures as identity does."""
    client = Redis(redis.url, 1.0)
    throttle = Throttle(client, platform.vault.throttle_key)
    for _ in range(times):
        await throttle.hit(limit, key)
    await client.close()


async def test_an_operator_makes_the_codes_of_a_number_good_again(
    platform: Platform, own_redis: SpareRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = new_phone()
    settings = platform.settings["identity"].model_copy(update={"redis_url": own_redis.url})
    await hit(platform, own_redis, PER_RECIPIENT, phone, 20)
    client = Redis(own_redis.url, 1.0)
    throttle = Throttle(client, platform.vault.throttle_key)
    with pytest.raises(DomainError, match="too many tries"):
        await throttle.check(PER_RECIPIENT, phone)
    written = f"({phone[2:5]}) {phone[5:8]}-{phone[8:]}\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(written))
    await forgive_guesses(settings, asyncio.Event())
    await throttle.check(PER_RECIPIENT, phone)
    await client.close()
    monkeypatch.setattr("sys.stdin", io.StringIO("nobody\n"))
    with pytest.raises(SystemExit, match="phone number or an e-mail address"):
        await forgive_guesses(settings, asyncio.Event())
