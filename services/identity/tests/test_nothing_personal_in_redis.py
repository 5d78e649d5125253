"""Redis knows nobody: neither numbers nor addresses are in it, whatever people did."""

from __future__ import annotations

from typing import Any

import redis.asyncio as redis
from scrip.identity.v1 import auth_pb2, otp_pb2

from services.identity.tests.people import (
    CHANGE_PHONE,
    CONFIRM_EMAIL,
    LOG_IN,
    PASSWORD,
    REGISTER,
    People,
    new_email,
    new_user_name,
    outcome,
)
from tests.inprocess import Platform, new_phone

ADDRESS = "203.0.113.77"
_READ = {"string": "get", "hash": "hgetall", "set": "smembers", "list": "lrange", "zset": "zrange"}


async def _everything(url: str) -> str:
    """Returns all keys and values of all databases of a Redis, as text."""
    found: list[Any] = []
    base = url.rpartition("/")[0]
    for number in range(16):
        async with redis.from_url(f"{base}/{number}") as client:
            async for key in client.scan_iter():
                kind = str(await client.type(key), "ascii")  # type: ignore[arg-type]  # bytes: not decoded
                whole = (0, -1) if kind in ("list", "zset") else ()
                if kind != "none":  # else it has expired meanwhile
                    found += [key, await getattr(client, _READ[kind])(key, *whole)]
    return repr(found)


async def _wrong(people: People, name: str) -> None:
    given = auth_pb2.PasswordCredentials(user_name=name, password="a wrong one")
    metadata = (("x-envoy-external-address", ADDRESS),)
    await outcome(people.auth.LogIn(auth_pb2.LogInRequest(password=given), metadata=metadata))


async def test_no_number_and_no_address_is_in_redis_after_all_that_is_limited(
    people: People, platform: Platform
) -> None:
    phone, email, other, nobody = new_phone(), new_email(), new_phone(), new_email()
    from_there = (("x-envoy-external-address", ADDRESS),)
    request = auth_pb2.RegisterMemberRequest(
        otp=await people.prove(phone, REGISTER),
        full_name="Ada Lovelace",
        user_name=new_user_name(),
        email=email,
        password=PASSWORD,
    )
    made = await people.auth.RegisterMember(request, metadata=from_there)
    token = made.token.access_token
    await people.confirm_email(token, await people.prove(email, CONFIRM_EMAIL))
    await people.auth.SendOtp(auth_pb2.SendOtpRequest(phone=phone, purpose=LOG_IN), metadata=from_there)
    proof = await people.prove(email, LOG_IN)
    wrong = otp_pb2.OtpProof(otp_id=proof.otp_id, code=f"{(int(proof.code) + 1) % 1_000_000:06d}")
    await outcome(people.auth.LogIn(auth_pb2.LogInRequest(otp=wrong), metadata=from_there))
    for name in (made.member.user_name, nobody, other, phone):
        await _wrong(people, name)
    await people.change_phone(token, await people.prove(other, CHANGE_PHONE))
    kept = (await _everything(platform.redis_url)).lower()
    assert "throttle:otp_sends_per_phone" in kept, "the test sees what is there"
    assert made.member.id in kept
    for needle in (phone, phone[2:], email, other, other[2:], nobody, ADDRESS, made.member.user_name):
        assert needle.lower() not in kept, needle
    assert "127.0.0.1" not in kept
