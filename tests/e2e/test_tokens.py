"""No token, a bad one, an expired one: 401 from every service, with a reason for each."""

from __future__ import annotations

import grpc
import jwt
import pytest
import pytest_asyncio
from scrip.points.v1 import points_pb2, points_pb2_grpc

from services.common.caller import MEMBER
from services.identity.keys import SigningKeys, TokenIssuer
from tests.e2e.people import EACH_SERVICE
from tests.e2e.tokens import faulty_tokens, signing_keys
from tests.edge.refusals import reason_over_grpc
from tests.platform import Member, Platform, refusal

WHAT_IS_WRONG = (
    "missing",
    "garbage",
    "three-parts",
    "cut-off",
    "strangers-key",
    "unknown-key-id",
    "unsigned",
    "shared-secret",
    "public-key-as-secret",
    "other-issuer",
    "other-audience",
    "of-a-service",
    "other-kind",
    "not-yet-valid",
    "from-the-future",
    "of-an-empty-login",
    "of-no-id",
    "of-no-login",
    "expired",
    "of-an-ended-login",
)


@pytest_asyncio.fixture(scope="module")
async def keys(live: Platform) -> SigningKeys:
    """Identity's signing keys."""
    return await signing_keys(live.stack)


async def test_a_token_made_with_this_key_would_be_good(
    live: Platform, ada: Member, keys: SigningKeys
) -> None:
    claims = jwt.decode(ada.token, options={"verify_signature": False})
    session = claims["sid"]
    made = TokenIssuer(keys).issue_for_session(ada.id, MEMBER, 60, session_id=session).value
    for path in EACH_SERVICE:
        await live.ok("GET", path, token=made)


@pytest.mark.covers("I3 AuthService.LogIn")
@pytest.mark.parametrize("wrong", WHAT_IS_WRONG)
async def test_a_faulty_token_is_401_from_every_service(
    live: Platform, ada: Member, keys: SigningKeys, wrong: str
) -> None:
    token, reason = faulty_tokens(keys, ada.token)[wrong]
    for path in EACH_SERVICE:
        refused = await live.refused("GET", path, token=token)
        assert (refused.status, refused.reason) == (401, reason), path


@pytest.mark.covers("I3 AuthService.LogIn")
@pytest.mark.parametrize("wrong", WHAT_IS_WRONG)
async def test_a_faulty_token_has_the_same_reason_over_grpc(
    channel: grpc.aio.Channel, ada: Member, keys: SigningKeys, wrong: str
) -> None:
    token, reason = faulty_tokens(keys, ada.token)[wrong]
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    stub = points_pb2_grpc.PointsServiceStub(channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetMyBalance(points_pb2.GetMyBalanceRequest(), metadata=metadata)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert reason_over_grpc(caught.value) == reason


@pytest.mark.parametrize("given", ["Bearer", "Basic YWRtaW46YWRtaW4=", "Token x", "x"])
async def test_other_ways_to_authorise_are_no_token(live: Platform, given: str) -> None:
    answer = await live.http.get("/v1/members/me", headers={"authorization": given})
    refused = refusal(answer)
    assert (refused.status, refused.reason) == (401, "TOKEN_MISSING")


async def test_wrong_credentials_are_401_and_do_not_say_which(live: Platform) -> None:
    told = []
    for user in (live.stack.endpoints.admin_user_name, "nobody"):
        password = {"user_name": user, "password": "wrong"}
        refused = await live.refused("POST", "/v1/sessions", {"password": password})
        assert (refused.status, refused.reason) == (401, "CREDENTIALS_NOT_VALID")
        told.append(refused.body)
    assert told[0] == told[1]


async def test_a_wrong_one_time_password_is_400_and_says_what_is_left(live: Platform) -> None:
    otp = await live.otp()
    wrong = otp.proof | {"code": f"{(int(otp.proof['code']) + 1) % 10**6:06d}"}
    refused = await live.refused("POST", "/v1/members", {"otp": wrong, "full_name": "Ada"})
    assert (refused.status, refused.reason) == (400, "OTP_NOT_VALID")
    assert refused.metadata == {"tries_left": "4"}
    await live.member(otp)
    used = await live.refused("POST", "/v1/members", {"otp": otp.proof, "full_name": "Ada"})
    assert (used.status, used.reason) == (400, "OTP_NOT_VALID")
