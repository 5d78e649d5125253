"""Passwords: guessing is limited, changing ends all logins, and nobody else has to wait for a login."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
import redis.asyncio as plain_redis
from scrip.identity.v1 import auth_pb2, otp_pb2

from services.common.cache import Redis
from services.common.ids import new_id
from services.common.throttle import Throttle
from services.identity.accounts import PER_ADDRESS
from services.identity.passwords.proof import PER_ACCOUNT
from services.identity.tests.devices import Device, device_of, log_in, proven, use
from services.identity.tests.guessing import log_in_from, try_in
from services.identity.tests.people import (
    DONE,
    LOG_IN,
    PASSWORD,
    REGISTER,
    People,
    new_email,
    new_user_name,
    outcomes,
    tally,
)
from tests.inprocess import (
    Platform,
    bearer,
    eventually,
    new_phone,
    reason,
    refusal,
)

RESET = auth_pb2.OTP_PURPOSE_RESET_PASSWORD
OTHER = "a giraffe counts forwards"


@pytest.fixture
async def throttle(platform: Platform) -> AsyncIterator[Throttle]:
    """Counts as identity counts."""
    client = Redis(platform.redis_url, seconds=1)
    yield Throttle(client, platform.vault.throttle_key)
    await client.close()


async def change(people: People, token: str, old: str, new: str) -> None:
    request = auth_pb2.ChangePasswordRequest(current_password=old, new_password=new)
    await people.auth.ChangePassword(request, metadata=bearer(token))


async def reset(people: People, proof: otp_pb2.OtpProof, new: str) -> None:
    await people.auth.ResetPassword(auth_pb2.ResetPasswordRequest(otp=proof, new_password=new))


async def assert_out(people: People, device: Device) -> None:
    """Asserts that a login has ended, by both of its tokens."""
    assert await reason(use(people, device.token.refresh_token, device.id)) == "SESSION_ENDED"

    async def refused() -> None:
        assert await people.answers(device.access) == {"SESSION_ENDED"}

    await eventually(refused, seconds=1.0)


@pytest.mark.covers("I2 AuthService.LogIn")
async def test_a_member_may_have_both_ways_in(people: People) -> None:
    phone = new_phone()
    made = await people.register(otp=await proven(people, phone, REGISTER))
    by_code = await log_in(people, phone, "phone")
    by_password = await people.log_in(made.member.user_name)
    assert (await people.me(by_password.access_token)).id == made.member.id
    assert await reason(people.me(by_code.access_token)) == "SESSION_REPLACED"


@pytest.mark.parametrize("right", [OTHER.upper(), f" {OTHER}", f"{OTHER} ", OTHER[:-1], ""])
async def test_a_password_is_right_to_the_letter(people: People, right: str) -> None:
    made = await people.register(password=OTHER)
    refused = await try_in(people, made.member.user_name, right)
    assert refused == ("CREDENTIALS_NOT_VALID" if right else "VALIDATION_FAILED")


@pytest.mark.covers("I2 AuthService.LogIn")
async def test_a_name_of_any_letters_finds_its_account_and_no_other(people: People) -> None:
    phone = new_phone()
    owner = await people.register(otp=await proven(people, phone, REGISTER), email=new_email())
    # A user name in which the number stands, made after the account that has the number.
    named = await people.register(user_name=f"u{phone[1:]}", password=OTHER)
    login = await people.log_in(named.member.user_name.upper(), OTHER)
    assert (await people.me(login.access_token)).id == named.member.id
    assert (await people.me((await people.log_in(phone)).access_token)).id == owner.member.id


async def test_letters_that_only_look_alike_are_others(people: People, platform: Platform) -> None:
    """What is looked up is what is counted, or else each spelling would be worth ten more guesses."""
    name = f"iris-{new_user_name()}"
    made = await people.register(user_name=name, password=OTHER)
    for spelled in (
        name.replace("i", "\u0130"),
        name.replace("i", "\u0131"),
        f" {name}",
        f"{name} ",
        f"{name}\u200b",
    ):
        assert await try_in(people, spelled, OTHER) == "CREDENTIALS_NOT_VALID"
    assert await try_in(people, name.upper(), OTHER) == DONE
    phone = "+1 (415) 555-0199"
    assert await reason(people.register(user_name=phone)) == "VALIDATION_FAILED"
    assert await reason(people.register(user_name=made.member.user_name.upper())) == "USER_NAME_TAKEN"
    assert await reason(people.register(user_name="somebody@example.com")) == "VALIDATION_FAILED"
    assert await reason(people.register(user_name="\u0430dmin")) == "VALIDATION_FAILED", "a Cyrillic letter"


async def test_an_accent_and_its_letter_are_one_however_a_keyboard_sends_them(people: People) -> None:
    made = await people.register(password="caf\u00e9 au lait, s'il vous pla\u00eet")
    decomposed = "cafe\u0301 au lait, s'il vous plai\u0302t"
    assert await try_in(people, made.member.user_name, decomposed) == DONE


async def test_one_without_a_password_gets_in_by_none(people: People, platform: Platform) -> None:
    member = await platform.member()
    assert await try_in(people, member.phone, PASSWORD) == "CREDENTIALS_NOT_VALID"
    assert await reason(change(people, member.token, PASSWORD, OTHER)) == "PASSWORD_NOT_SET"


class TestLimits:
    @pytest.mark.covers("I2 AuthService.LogIn")
    async def test_ten_failures_for_one_name_close_it_to_the_right_password_too(
        self, people: People, throttle: Throttle
    ) -> None:
        member = (await people.register()).member
        name = member.user_name
        for _ in range(8):
            await throttle.hit(PER_ACCOUNT, member.id)
        assert await try_in(people, name, "wrong") == "CREDENTIALS_NOT_VALID"
        assert await try_in(people, name, PASSWORD) == DONE
        assert await try_in(people, name.upper(), "wrong") == "CREDENTIALS_NOT_VALID"
        refused, code, metadata = await refusal(log_in_from(people, name, PASSWORD))
        assert (refused, code) == ("TOO_MANY_REQUESTS", grpc.StatusCode.RESOURCE_EXHAUSTED)
        assert metadata["limit"] == "failed_log_ins_per_account"
        assert 0 < int(metadata["retry_after_seconds"]) <= 300
        # Others, and the other way in, are not concerned.
        await people.register()

    async def test_an_account_has_ten_failures_under_all_its_names_together(self, people: People) -> None:
        phone, email, password = new_phone(), new_email(), "wrong"
        proof = await proven(people, phone, REGISTER)
        made = await people.register(otp=proof, user_name=new_user_name(), email=email)
        names = [made.member.user_name, email, phone, email.upper(), phone[2:]]
        told = [await try_in(people, name, password) for name in names * 2]
        assert told == ["CREDENTIALS_NOT_VALID"] * 10
        for name in names:
            assert await try_in(people, name, PASSWORD) == "TOO_MANY_REQUESTS"
        # Who is logged in is no stranger.
        await change(people, made.token.access_token, PASSWORD, OTHER)

    async def test_a_name_that_nobody_has_is_refused_in_the_same_way(
        self, people: People, throttle: Throttle
    ) -> None:
        member = (await people.register()).member
        nobody = new_user_name()
        told = []
        for name, key in ((member.user_name, member.id), (nobody, nobody)):
            for _ in range(9):
                await throttle.hit(PER_ACCOUNT, key)
            seen = [await refusal(log_in_from(people, name, "wrong")) for _ in range(3)]
            told.append([(*one[:2], one[2].get("limit"), sorted(one[2])) for one in seen])
        assert told[0] == told[1]
        assert [one[0] for one in told[0]] == ["CREDENTIALS_NOT_VALID", *["TOO_MANY_REQUESTS"] * 2]

    async def test_a_name_that_is_closed_opens_again_though_a_stranger_goes_on(
        self, people: People, throttle: Throttle, platform: Platform
    ) -> None:
        member = (await people.register()).member
        name = member.user_name
        for _ in range(10):
            await throttle.hit(PER_ACCOUNT, member.id)
        key = throttle.name_of(PER_ACCOUNT, member.id)
        async with plain_redis.Redis.from_url(platform.redis_url) as client:
            assert 290 < await client.ttl(key) <= 300
            await client.expire(key, 1)
        while (answer := await try_in(people, name, "wrong")) == "TOO_MANY_REQUESTS":  # noqa: ASYNC110
            await asyncio.sleep(0.1)  # a stranger who does not give up does not make it longer
        assert answer == "CREDENTIALS_NOT_VALID"
        assert await try_in(people, name, PASSWORD) == DONE

    @pytest.mark.covers("I2 AuthService.LogIn")
    async def test_a_hundred_failures_from_one_address_close_it_for_all_names(
        self, people: People, throttle: Throttle
    ) -> None:
        name, address = (await people.register()).member.user_name, f"address-{new_id()}"
        for _ in range(99):
            await throttle.hit(PER_ADDRESS, address)
        assert await try_in(people, new_user_name(), "wrong", address) == "CREDENTIALS_NOT_VALID"
        assert await try_in(people, name, PASSWORD, address) == "TOO_MANY_REQUESTS"
        assert await try_in(people, name, PASSWORD) == DONE

    @pytest.mark.covers("I2 AuthService.LogIn")
    async def test_of_many_guesses_at_once_few_are_looked_at(self, people: People) -> None:
        name = (await people.register()).member.user_name
        guesses = [*(f"guess {number}" for number in range(49)), PASSWORD]
        answers = await asyncio.gather(*(try_in(people, name, guess) for guess in guesses))
        assert answers[-1] in {"TOO_MANY_REQUESTS", "OVERLOADED"}, "the right one came too late"
        results = tally(answers)
        assert set(results) <= {"CREDENTIALS_NOT_VALID", "TOO_MANY_REQUESTS", "OVERLOADED"}
        assert results["CREDENTIALS_NOT_VALID"] <= 12
        assert await try_in(people, name, PASSWORD) == "TOO_MANY_REQUESTS"

    @pytest.mark.covers("I2 AuthService.ChangePassword")
    async def test_guessing_the_password_of_a_stolen_login_is_limited(self, people: People) -> None:
        made = await people.register()
        tries = (change(people, made.token.access_token, f"guess {n}", OTHER) for n in range(30))
        results = tally(await outcomes(tries))
        assert set(results) <= {"CURRENT_PASSWORD_NOT_VALID", "TOO_MANY_REQUESTS", "OVERLOADED"}
        assert results["CURRENT_PASSWORD_NOT_VALID"] <= 12
        assert await people.answers(made.token.access_token) == {DONE}


class TestChanging:
    async def test_a_wrong_present_one_is_no_reason_to_refresh_a_token(self, people: People) -> None:
        made = await people.register()
        told = await refusal(change(people, made.token.access_token, "wrong", OTHER))
        assert told == ("CURRENT_PASSWORD_NOT_VALID", grpc.StatusCode.INVALID_ARGUMENT, {})

    @pytest.mark.covers("I2 AuthService.ChangePassword")
    async def test_it_ends_all_logins_and_the_new_one_counts(self, people: People) -> None:
        made = await people.register()
        device = Device(people, "", "", made.token)
        await change(people, device.access, PASSWORD, OTHER)
        await assert_out(people, device)
        name = made.member.user_name
        assert await try_in(people, name, PASSWORD) == "CREDENTIALS_NOT_VALID"
        assert await try_in(people, name, OTHER) == DONE

    @pytest.mark.parametrize(("new", "rule"), [("short", "length"), ("iloveyou", "common")])
    async def test_a_weak_one_is_refused_and_changes_nothing(
        self, people: People, new: str, rule: str
    ) -> None:
        made = await people.register()
        name, code, metadata = await refusal(change(people, made.token.access_token, PASSWORD, new))
        assert (name, code) == ("PASSWORD_TOO_WEAK", grpc.StatusCode.INVALID_ARGUMENT)
        assert metadata == {"rule": rule}
        assert await people.answers(made.token.access_token) == {DONE}

    @pytest.mark.covers("I2 AuthService.ChangePassword")
    async def test_of_changes_at_once_one_takes_effect(self, people: People) -> None:
        made = await people.register()
        new = [f"{OTHER} {number}" for number in range(5)]
        calls = (change(people, made.token.access_token, PASSWORD, one) for one in new)
        results = await outcomes(calls)
        assert results.count(DONE) == 1
        assert set(results) <= {DONE, "CURRENT_PASSWORD_NOT_VALID", "SESSION_ENDED"}
        assert await try_in(people, made.member.user_name, new[results.index(DONE)]) == DONE


class TestResetting:
    @pytest.mark.covers("I2 AuthService.ResetPassword")
    async def test_it_needs_no_old_password_and_ends_all_logins(self, people: People) -> None:
        phone = new_phone()
        made = await people.register(otp=await proven(people, phone, REGISTER))
        device = Device(people, phone, "", made.token)
        await reset(people, await people.prove(phone, RESET), OTHER)
        await assert_out(people, device)
        assert await try_in(people, phone, PASSWORD) == "CREDENTIALS_NOT_VALID"
        assert await try_in(people, phone, OTHER) == DONE

    @pytest.mark.covers("I2 AuthService.ResetPassword")
    async def test_it_gives_a_first_password_to_one_who_has_none(
        self, people: People, platform: Platform
    ) -> None:
        member = await platform.member()
        await reset(people, await proven(people, member.phone, RESET), OTHER)
        assert await try_in(people, member.phone, OTHER) == DONE
        await device_of(people, member)

    @pytest.mark.covers("I2 AuthService.ResetPassword")
    async def test_it_takes_only_its_own_codes_and_each_once(
        self, people: People, platform: Platform
    ) -> None:
        member = await platform.member()
        foreign = await proven(people, member.phone, LOG_IN)
        assert await reason(reset(people, foreign, OTHER)) == "OTP_NOT_VALID"
        proof = await proven(people, member.phone, RESET)
        wrong = f"{(int(proof.code) + 1) % 1_000_000:06d}"
        guess = otp_pb2.OtpProof(otp_id=proof.otp_id, code=wrong)
        assert await reason(reset(people, guess, OTHER)) == "OTP_NOT_VALID"
        assert await reason(reset(people, proof, "short")) == "PASSWORD_TOO_WEAK"
        results = await outcomes(reset(people, proof, f"{OTHER} {number}") for number in range(4))
        assert results.count(DONE) == 1
        assert set(results) <= {DONE, "OTP_NOT_VALID", "OTP_TRIES_EXHAUSTED"}
        assert await reason(reset(people, proof, OTHER)) in {"OTP_NOT_VALID", "OTP_TRIES_EXHAUSTED"}

    async def test_an_unknown_number_is_told_only_to_its_owner(self, people: People) -> None:
        proof = await proven(people, new_phone(), RESET)
        assert await reason(reset(people, proof, OTHER)) == "ACCOUNT_NOT_FOUND"
