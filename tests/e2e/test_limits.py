"""Too fast, too many tries: 429, and when to try again."""

from __future__ import annotations

import asyncio

import grpc
from scrip.identity.v1 import member_pb2, member_pb2_grpc

from tests.edge.refusals import reason_over_grpc
from tests.platform import Platform, Refusal, at_once, eventually, new_phone, refusal, unique


def _says_when(refused: Refusal, limit: str, *, at_most: int) -> None:
    assert (refused.status, refused.reason) == (429, "TOO_MANY_REQUESTS")
    assert refused.metadata["limit"] == limit
    seconds = int(refused.metadata["retry_after_seconds"])
    assert 1 <= seconds <= at_most
    assert refused.headers["retry-after"] == str(seconds)
    assert refused.retry_seconds == seconds


async def test_wrong_codes_are_limited_per_till(live: Platform) -> None:
    till, other = await live.till(), await live.till()
    wrong = {"code": "ZZZZZZZZZZZZ"}
    tried = await at_once([live.refused("POST", "/v1/codes:verify", wrong, token=till) for _ in range(60)])
    assert {refused.reason for refused in tried} == {"CODE_NOT_VALID"}
    for path, body in (("verify", wrong), ("redeem", wrong | {"sale_reference": "1"})):
        refused = await live.refused("POST", f"/v1/codes:{path}", body, token=till)
        _says_when(refused, "wrong_codes_per_till", at_most=60)
    assert (await live.refused("POST", "/v1/codes:verify", wrong, token=other)).reason == "CODE_NOT_VALID"


async def test_one_time_passwords_are_limited_per_number(live: Platform) -> None:
    asked = {"phone": new_phone(), "purpose": "OTP_PURPOSE_REGISTER"}
    for _ in range(5):
        await live.ok("POST", "/v1/otps", asked)
    _says_when(await live.refused("POST", "/v1/otps", asked), "otp_sends_per_phone", at_most=600)
    await live.ok("POST", "/v1/otps", asked | {"phone": new_phone()})


async def test_a_one_time_password_dies_of_five_wrong_tries(live: Platform) -> None:
    otp = await live.otp()
    wrong = otp.proof | {"code": f"{(int(otp.proof['code']) + 1) % 10**6:06d}"}
    reasons = [
        (await live.refused("POST", "/v1/members", {"otp": proof, "full_name": "Ada"})).reason
        for proof in (wrong, wrong, wrong, wrong, wrong, otp.proof)
    ]
    assert reasons == ["OTP_NOT_VALID"] * 4 + ["OTP_TRIES_EXHAUSTED"] * 2


async def test_wrong_one_time_passwords_are_limited_per_number(live: Platform) -> None:
    phone = new_phone()
    for _ in range(4):
        otp = await live.otp(phone)
        wrong = {
            "otp": otp.proof | {"code": f"{(int(otp.proof['code']) + 1) % 10**6:06d}"},
            "full_name": "Ada",
        }
        reasons = [(await live.refused("POST", "/v1/members", wrong)).reason for _ in range(5)]
        assert reasons == ["OTP_NOT_VALID"] * 4 + ["OTP_TRIES_EXHAUSTED"]
    right = {"otp": (await live.otp(phone)).proof, "full_name": "Ada"}
    refused = await live.refused("POST", "/v1/members", right)
    _says_when(refused, "wrong_otps_per_recipient", at_most=14_400)


async def test_failed_log_ins_are_limited_per_account(live: Platform) -> None:
    password = {"password": {"user_name": f"nobody-{unique()}", "password": "wrong"}}
    tried = [await live.refused("POST", "/v1/sessions", password) for _ in range(10)]
    assert {refused.reason for refused in tried} == {"CREDENTIALS_NOT_VALID"}
    _says_when(
        await live.refused("POST", "/v1/sessions", password), "failed_log_ins_per_account", at_most=300
    )


async def test_the_edge_limits_each_member(live: Platform, channel: grpc.aio.Channel) -> None:
    fast, calm = await live.member(), await live.member()
    stub = member_pb2_grpc.MemberServiceStub(channel)
    metadata = (("authorization", f"Bearer {fast.token}"),)

    async def call() -> str:
        try:
            await stub.GetMe(member_pb2.GetMeRequest(), metadata=metadata)
        except grpc.aio.AioRpcError as error:
            return reason_over_grpc(error)
        return ""

    async def limited() -> Refusal:
        over_grpc = asyncio.gather(*(call() for _ in range(300)))
        # In the same crowd, for the next tokens may come before it has been served.
        over_rest = await at_once([live.call("GET", "/v1/members/me", token=fast.token) for _ in range(20)])
        assert "TOO_MANY_REQUESTS" in await over_grpc
        refused = [answer for answer in over_rest if answer.status_code != 200]
        assert refused
        return refusal(refused[0])

    assert (await at_once([call() for _ in range(100)])) == [""] * 100  # as many at once are welcome
    _says_when(await eventually(limited, 10), "edge_requests", at_most=1)
    await live.ok("GET", "/v1/members/me", token=calm.token)
