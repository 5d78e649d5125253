"""Who holds a token alone changes no way in and closes no account."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import grpc
import pytest
from scrip.identity.v1 import auth_pb2, member_pb2, otp_pb2

from services.common.ids import new_id
from services.identity.passwords.proof import PER_ACCOUNT
from services.identity.tests.people import (
    CHANGE_PHONE,
    CONFIRM_EMAIL,
    DONE,
    LOG_IN,
    PASSWORD,
    REGISTER,
    STEP_UP,
    People,
    made_otp,
    new_email,
    new_user_name,
    outcomes,
    tally,
)
from tests.inprocess import Platform, bearer, new_phone, reason, refusal

CHANGES = ["user_name", "email", "clear_user_name", "clear_email", "phone", "close"]


async def change(people: People, token: str, what: str, proof: otp_pb2.Proof | None) -> Awaitable[object]:
    """Returns a call that changes a way in, or closes the account, with this proof or none."""
    updates: dict[str, dict[str, Any]] = {
        "user_name": {"user_name": new_user_name()},
        "email": {"email": new_email()},
        "clear_user_name": {"clear": ["user_name"]},
        "clear_email": {"clear": ["email"]},
    }
    metadata = bearer(token)
    if what in updates:
        request = member_pb2.UpdateMeRequest(**updates[what], proof=proof)
        return people.members.UpdateMe(request, metadata=metadata)
    if what == "phone":
        otp = await made_otp(people.platform, new_phone(), CHANGE_PHONE)
        moved = member_pb2.ChangeMyPhoneRequest(otp=otp, proof=proof)
        return people.members.ChangeMyPhone(moved, metadata=metadata)
    return people.members.CloseMe(member_pb2.CloseMeRequest(confirm=True, proof=proof), metadata=metadata)


async def whole(people: People) -> tuple[str, member_pb2.Member]:
    """Returns token and account of a member who can prove in every way."""
    otp = await people.prove(new_phone(), REGISTER)
    made = await people.register(otp=otp, email=new_email(), user_name=new_user_name())
    token = made.token.access_token
    proof = await people.prove(made.member.email, CONFIRM_EMAIL)
    return token, await people.confirm_email(token, proof)


def wrong(otp: otp_pb2.OtpProof) -> otp_pb2.OtpProof:
    """Returns the same with another code."""
    return otp_pb2.OtpProof(otp_id=otp.otp_id, code=f"{(int(otp.code) + 1) % 1_000_000:06d}")


@pytest.mark.covers("I9 MemberService.UpdateMe", "I9 MemberService.ChangeMyPhone", "I9 MemberService.CloseMe")
@pytest.mark.parametrize("what", CHANGES)
async def test_a_token_alone_changes_no_way_in_and_each_proof_does(people: People, what: str) -> None:
    for way in ("password", "phone", "email"):
        token, before = await whole(people)
        assert await refusal(await change(people, token, what, None)) == (
            "PROOF_REQUIRED",
            grpc.StatusCode.PERMISSION_DENIED,
            {"methods": "password,phone,email"},
        )
        assert await people.me(token) == before
        assert await people.told(before.id) == []
        if way == "password":
            proof = otp_pb2.Proof(password=PASSWORD)
        else:
            proof = otp_pb2.Proof(otp=await people.prove(getattr(before, way), STEP_UP))
        await (await change(people, token, what, proof))


async def test_what_is_no_way_in_needs_no_proof(people: People) -> None:
    token, before = await whole(people)
    request = member_pb2.UpdateMeRequest(
        full_name="Ada King",
        birthday="1990-01-01",
        user_name=before.user_name.upper(),  # what it is already
        email=before.email,
    )
    shown = (await people.members.UpdateMe(request, metadata=bearer(token))).member
    before.full_name, before.birthday = "Ada King", "1990-01-01"
    assert shown == before


@pytest.mark.parametrize("what", CHANGES)
async def test_a_proof_of_somebody_else_is_none(people: People, platform: Platform, what: str) -> None:
    token, before = await whole(people)
    thief = await platform.member()
    proofs = [
        otp_pb2.Proof(otp=await made_otp(platform, thief.phone, STEP_UP)),
        otp_pb2.Proof(otp=await made_otp(platform, new_phone(), STEP_UP)),
        otp_pb2.Proof(otp=await made_otp(platform, before.phone, LOG_IN)),  # for another purpose
    ]
    for proof in proofs:
        assert await reason(await change(people, token, what, proof)) == "OTP_NOT_VALID"
    assert await people.me(token) == before


async def test_an_address_that_is_not_confirmed_proves_nothing(people: People) -> None:
    made = await people.register(email=new_email(), user_name=new_user_name())
    token = made.token.access_token
    assert (await refusal(await change(people, token, "close", None)))[2] == {"methods": "password"}
    wanted = new_email()
    await people.update(token, email=wanted)
    for email in (made.member.email, wanted):
        proof = otp_pb2.Proof(otp=await people.prove(email, STEP_UP))
        assert await reason(await change(people, token, "close", proof)) == "OTP_NOT_VALID"


async def test_a_number_that_was_given_up_proves_nothing(people: People, platform: Platform) -> None:
    member = await platform.member()
    early = otp_pb2.Proof(otp=await made_otp(platform, member.phone, STEP_UP))
    await people.change_phone(member.token, await made_otp(platform, new_phone(), CHANGE_PHONE))
    late = otp_pb2.Proof(otp=await made_otp(platform, member.phone, STEP_UP))
    for proof in (early, late):
        assert await reason(await change(people, member.token, "close", proof)) == "OTP_NOT_VALID"


async def test_a_wrong_password_counts_as_one_at_the_login_does(people: People) -> None:
    made = await people.register()
    token = made.token.access_token
    proof = otp_pb2.Proof(password="a wrong one")
    for _ in range(PER_ACCOUNT.count):
        told = await refusal(await change(people, token, "close", proof))
        assert told[:2] == ("CURRENT_PASSWORD_NOT_VALID", grpc.StatusCode.INVALID_ARGUMENT)
    right = otp_pb2.Proof(password=PASSWORD)
    assert await reason(await change(people, token, "close", right)) == "TOO_MANY_REQUESTS"


async def test_a_wrong_code_burns_its_tries(people: People, platform: Platform) -> None:
    member = await platform.member()
    otp = await made_otp(platform, member.phone, STEP_UP)
    for left in (4, 3, 2, 1):
        told = await refusal(await change(people, member.token, "close", otp_pb2.Proof(otp=wrong(otp))))
        assert told[::2] == ("OTP_NOT_VALID", {"tries_left": str(left)})
    last = await change(people, member.token, "close", otp_pb2.Proof(otp=wrong(otp)))
    assert await reason(last) == "OTP_TRIES_EXHAUSTED"
    right = await change(people, member.token, "close", otp_pb2.Proof(otp=otp))
    assert await reason(right) == "OTP_TRIES_EXHAUSTED"


async def test_one_without_a_password_proves_by_none(people: People, platform: Platform) -> None:
    member = await platform.member()
    assert (await refusal(await change(people, member.token, "close", None)))[2] == {"methods": "phone"}
    by_password = await change(people, member.token, "close", otp_pb2.Proof(password=PASSWORD))
    assert await reason(by_password) == "PASSWORD_NOT_SET"
    empty = await change(people, member.token, "close", otp_pb2.Proof())
    assert await reason(empty) == "VALIDATION_FAILED"


async def test_a_code_proves_once(people: People, platform: Platform) -> None:
    member = await platform.member()
    proof = otp_pb2.Proof(otp=await made_otp(platform, member.phone, STEP_UP))
    calls = [await change(people, member.token, "user_name", proof) for _ in range(4)]
    results = tally(await outcomes(calls))
    assert results[DONE] == 1
    assert set(results) == {DONE, "OTP_NOT_VALID"}


async def test_a_refused_change_does_not_use_the_code_up(people: People, platform: Platform) -> None:
    member, taken = await platform.member(), (await people.register()).member.user_name
    proof = otp_pb2.Proof(otp=await made_otp(platform, member.phone, STEP_UP))
    assert await reason(people.update(member.token, user_name=taken, proof=proof)) == "USER_NAME_TAKEN"
    await people.update(member.token, user_name=new_user_name(), proof=proof)


async def test_a_proof_by_a_password_that_is_replaced_amid_the_call_is_none(people: People) -> None:
    """Whoever is second finds the account as the first one left it."""
    for _ in range(3):
        made = await people.register()
        token, name = made.token.access_token, f"name-{new_id()}"
        request = auth_pb2.ChangePasswordRequest(current_password=PASSWORD, new_password=f"other {name}")
        results = await outcomes(
            [
                people.auth.ChangePassword(request, metadata=bearer(token)),
                people.update(token, user_name=name, proof=otp_pb2.Proof(password=PASSWORD)),
            ]
        )
        assert results[0] == DONE
        assert results[1] in {DONE, "CURRENT_PASSWORD_NOT_VALID", "SESSION_ENDED"}
        query = "SELECT user_name = %(name)s FROM accounts WHERE id = %(id)s"
        changed = await people.rows("identity", query, name=name, id=made.member.id)
        assert changed == [(results[1] == DONE,)]
