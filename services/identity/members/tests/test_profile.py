"""What members change about themselves."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from scrip.identity.v1 import auth_pb2, member_pb2, otp_pb2

from services.common.ids import new_id
from services.identity.tests.people import (
    CHANGE_PHONE,
    CONFIRM_EMAIL,
    DONE,
    LOG_IN,
    PASSWORD,
    REGISTER,
    People,
    new_email,
    new_user_name,
    outcome,
    outcomes,
    tally,
)
from tests.inprocess import Platform, bearer, eventually, new_phone, reason, refusal, refused_status


@pytest.mark.covers("I8 MemberService.UpdateMe")
async def test_what_is_given_changes_and_what_is_absent_stays(people: People) -> None:
    made = await people.register(birthday="1990-02-28")
    token, before = made.token.access_token, made.member
    email, user_name = new_email(), new_user_name()
    assert await people.update(token) == before
    changed = await people.update(token, full_name="  Ada King  ", email=email.upper())
    assert (changed.full_name, changed.email, changed.pending_email) == ("Ada King", "", email)
    await people.confirm_email(token, await people.prove(email, CONFIRM_EMAIL))
    assert (changed.user_name, changed.birthday) == (before.user_name, "1990-02-28")
    changed = await people.update(token, user_name=user_name.title(), birthday="1915-12-10")
    assert (changed.user_name, changed.birthday) == (user_name, "1915-12-10")
    assert await people.me(token) == changed
    await people.log_in(email)
    await people.log_in(user_name)
    assert await reason(people.log_in(before.user_name)) == "CREDENTIALS_NOT_VALID"


@pytest.mark.covers("I8 MemberService.UpdateMe")
async def test_what_is_named_is_emptied(people: People) -> None:
    made = await people.register(email=new_email(), user_name=new_user_name(), birthday="1990-02-28")
    token = made.token.access_token
    changed = await people.update(token, clear=["email", "birthday"])
    assert (changed.email, changed.birthday, changed.user_name) == ("", "", made.member.user_name)
    again = await people.register(email=made.member.email)
    assert again.member.id != made.member.id, "the name is free again"


@pytest.mark.covers("I8 MemberService.UpdateMe")
async def test_a_way_to_log_in_must_remain(people: People) -> None:
    token = (await people.register()).token.access_token
    status, code = await refused_status(people.update(token, clear=["user_name"]))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "clear" in status.message
    assert (await people.me(token)).user_name
    email = new_email()
    assert await reason(people.update(token, email=email, clear=["user_name"])) == "VALIDATION_FAILED"
    await people.set_email(token, email)
    assert (await people.update(token, clear=["user_name"])).user_name == ""
    await people.log_in(email)


async def test_one_with_a_phone_number_needs_nothing_else(people: People, platform: Platform) -> None:
    member = await platform.member()
    await people.update(member.token, user_name=new_user_name())
    assert (await people.update(member.token, clear=["user_name"])).user_name == ""


@pytest.mark.parametrize(
    "fields",
    [
        {"full_name": ""},
        {"full_name": " \t"},
        {"full_name": "\u3000"},
        {"full_name": "x" * 121},
        {"full_name": "a\x00b"},
        {"user_name": ""},
        {"user_name": "ab"},
        {"user_name": "1abc"},
        {"user_name": "a@example.com"},
        {"user_name": "abc\n"},
        {"user_name": "a" * 65},
        {"email": ""},
        {"email": "nobody"},
        {"email": "a@b@c"},
        {"email": "x" * 250 + "@example.com"},
        {"birthday": ""},
        {"birthday": "1990-2-1"},
        {"birthday": "2023-02-29"},
        {"birthday": "1899-12-31"},
        {"birthday": "9999-12-31"},
        {"clear": ["phone"]},
        {"clear": ["full_name"]},
        {"clear": ["email", "email"]},
        {"clear": ["email"], "email": "a@example.com"},
    ],
)
async def test_malformed_changes_are_refused_and_change_nothing(
    people: People, platform: Platform, fields: dict[str, Any]
) -> None:
    member = await platform.member()
    before = await people.me(member.token)
    assert await reason(people.update(member.token, **fields)) == "VALIDATION_FAILED"
    assert await people.me(member.token) == before


async def test_names_that_others_have_are_refused_whatever_the_letter_case(people: People) -> None:
    owner = (await people.register(user_name=new_user_name(), email=new_email())).member
    token = (await people.register()).token.access_token
    assert await reason(people.update(token, user_name=owner.user_name.upper())) == "USER_NAME_TAKEN"
    assert (await people.update(token, email=owner.email.upper())).email == ""


@pytest.mark.covers("I8 MemberService.UpdateMe")
async def test_of_fifty_members_who_want_one_name_at_once_one_gets_it(
    people: People, platform: Platform
) -> None:
    wanted = new_user_name()
    members = [await platform.member() for _ in range(50)]
    results = await outcomes(people.update(member.token, user_name=wanted) for member in members)
    assert tally(results) == {DONE: 1, "USER_NAME_TAKEN": 49}


@pytest.mark.covers("I8 MemberService.UpdateMe")
async def test_an_update_can_not_raise_a_member_above_itself(people: People, platform: Platform) -> None:
    """Fields that the contract does not know are dropped, whatever they are called elsewhere."""
    member, other = await platform.member(), await platform.member()
    before = await people.me(other.token)
    stolen = member_pb2.Member(
        id=str(other.id), full_name="Mallory", state=member_pb2.MEMBER_STATE_CLOSED, has_password=True
    ).SerializeToString()
    role = bytes([0xA2, 0x06, 5]) + b"admin"  # field 100
    call: Any = people.channel.unary_unary("/scrip.identity.v1.MemberService/UpdateMe")
    reply = await call(
        b"\x0a\x03Eve" + role + bytes([0xAA, 0x06, len(stolen)]) + stolen, metadata=bearer(member.token)
    )
    changed = member_pb2.UpdateMeResponse.FromString(reply).member
    assert (changed.id, changed.full_name) == (str(member.id), "Eve")
    assert changed.state == member_pb2.MEMBER_STATE_ACTIVE
    assert await people.me(other.token) == before
    refreshed = await people.refresh(member.refresh_token)
    for token in (member.token, refreshed.access_token):
        assert await reason(people.search(token)) == "ROLE_NOT_ALLOWED"


async def test_staff_and_tills_have_no_profile(people: People, platform: Platform) -> None:
    for role in ("admin", "manager", "cashier", "brand_manager", "till"):
        call = people.update(await platform.token(role), full_name="Eve")
        assert await refusal(call) == (
            "ROLE_NOT_ALLOWED",
            grpc.StatusCode.PERMISSION_DENIED,
            {"role": role},
        )


@pytest.mark.covers("I8 MemberService.ChangeMyPhone")
async def test_another_phone_number_takes_the_place_of_the_old_one(
    people: People, platform: Platform
) -> None:
    member, phone = await platform.member(), new_phone()
    changed = await people.change_phone(member.token, await people.prove(phone, CHANGE_PHONE))
    assert changed.phone == phone
    login = await people.log_in_by_phone(phone)
    assert (await people.me(login.access_token)).id == str(member.id)
    assert await reason(people.log_in_by_phone(member.phone)) == "ACCOUNT_NOT_FOUND"
    proof = await people.prove(member.phone, REGISTER)
    request = auth_pb2.RegisterMemberRequest(otp=proof, full_name="Another")
    assert (await people.auth.RegisterMember(request)).member.phone == member.phone


async def test_one_without_a_number_gets_one_and_may_then_do_without_names(people: People) -> None:
    token, phone = (await people.register()).token.access_token, new_phone()
    await people.change_phone(token, await people.prove(phone, CHANGE_PHONE))
    assert (await people.update(token, clear=["user_name"])).phone == phone
    await people.log_in(phone, PASSWORD)


async def test_a_foreign_number_is_a_number(people: People, platform: Platform) -> None:
    member = await platform.member()
    foreign = f"+49 1512 {member.phone[-7:]}"
    changed = await people.change_phone(member.token, await people.prove(foreign, CHANGE_PHONE))
    assert changed.phone == foreign.replace(" ", "")


@pytest.mark.covers("I8 MemberService.ChangeMyPhone")
async def test_the_number_must_be_proven_for_this_purpose_and_once(
    people: People, platform: Platform
) -> None:
    member, other, phone = await platform.member(), await platform.member(), new_phone()
    for purpose in (LOG_IN, REGISTER):
        proof = await people.prove(phone, purpose)
        assert await reason(people.change_phone(member.token, proof)) == "OTP_NOT_VALID"
    proof = await people.prove(phone, CHANGE_PHONE)
    wrong = otp_pb2.OtpProof(otp_id=proof.otp_id, code=f"{(int(proof.code) + 1) % 1_000_000:06d}")
    name, _, metadata = await refusal(people.change_phone(member.token, wrong))
    assert (name, metadata) == ("OTP_NOT_VALID", {"tries_left": "4"})
    unknown = otp_pb2.OtpProof(otp_id=str(new_id()), code="123456")
    name, _, metadata = await refusal(people.change_phone(member.token, unknown))
    assert (name, metadata) == ("OTP_NOT_VALID", {}), "what does not exist has no tries"
    await people.change_phone(member.token, proof)
    assert await reason(people.change_phone(other.token, proof)) == "OTP_NOT_VALID"
    assert await reason(people.change_phone(member.token, otp_pb2.OtpProof())) == "VALIDATION_FAILED"


async def test_an_expired_proof_changes_nothing(people: People, platform: Platform) -> None:
    member = await platform.member()
    proof = await people.prove(new_phone(), CHANGE_PHONE)
    await people.execute("identity", "UPDATE otps SET expires_at = now() WHERE id = %(id)s", id=proof.otp_id)
    assert await reason(people.change_phone(member.token, proof)) == "OTP_EXPIRED"
    assert (await people.me(member.token)).phone == member.phone


async def test_somebody_elses_number_is_refused_and_the_proof_stays_good(
    people: People, platform: Platform
) -> None:
    member, owner = await platform.member(), await platform.member()
    proof = await people.prove(owner.phone, CHANGE_PHONE)
    assert await reason(people.change_phone(member.token, proof)) == "PHONE_TAKEN"
    await people.close(owner.token)
    assert await reason(people.change_phone(member.token, proof)) == "OTP_NOT_VALID", "closing erases it"
    fresh = await people.prove(owner.phone, CHANGE_PHONE)
    assert (await people.change_phone(member.token, fresh)).phone == owner.phone


@pytest.mark.covers("I8 MemberService.ChangeMyPhone")
async def test_of_fifty_members_who_take_one_number_at_once_one_gets_it(
    people: People, platform: Platform
) -> None:
    phone = new_phone()
    proofs = [await people.prove(phone, CHANGE_PHONE) for _ in range(5)]
    members = [await platform.member() for _ in range(50)]
    results = tally(
        await outcomes(
            people.change_phone(member.token, proofs[number % 5]) for number, member in enumerate(members)
        )
    )
    assert results[DONE] == 1
    assert set(results) <= {DONE, "PHONE_TAKEN", "OTP_NOT_VALID", "OTP_TRIES_EXHAUSTED"}


async def test_a_change_of_number_is_told_with_the_new_ones_hash(people: People, platform: Platform) -> None:
    member, phone = await platform.member(), new_phone()
    for _ in range(2):  # the second one changes nothing, so nothing is published
        await people.change_phone(member.token, await people.prove(phone, CHANGE_PHONE))
    assert await people.events(member.id) == ["REGISTERED", "FIRST_LOGIN", "PHONE_CHANGED"]
    rows = await people.rows(
        "identity",
        "SELECT phone_hash FROM member_events WHERE member_id = %(id)s ORDER BY version",
        id=member.id,
    )
    hashes = [bytes(value) for (value,) in rows]
    assert hashes == [platform.vault.hash_phone(member.phone)] * 2 + [platform.vault.hash_phone(phone)]
    await eventually(lambda: people.assert_all_heard(member.id))


@pytest.mark.covers("I8 MemberService.SetMyConsent")
async def test_consent_is_kept_with_its_time_and_wording_and_can_be_taken_back(
    people: People, platform: Platform
) -> None:
    member = await platform.member()
    assert not (await people.me(member.token)).HasField("consent"), "never asked"
    started = datetime.now(UTC)
    given = (await people.consent(member.token, shares=True, wording="2026-01")).consent
    assert (given.shares_contact, given.wording_version) == (True, "2026-01")
    assert abs((given.given_at.ToDatetime(tzinfo=UTC) - started).total_seconds()) < 5
    taken = (await people.consent(member.token, shares=False, wording="2026-02")).consent
    assert (taken.shares_contact, taken.wording_version) == (False, "2026-02")
    assert taken.given_at.ToDatetime() > given.given_at.ToDatetime()
    assert (await people.me(member.token)).consent == taken
    rows = await people.rows(
        "identity",
        "SELECT type, shares_contact FROM member_events WHERE member_id = %(id)s ORDER BY version",
        id=member.id,
    )
    assert rows[2:] == [("CONSENT_CHANGED", True), ("CONSENT_CHANGED", False)]
    await eventually(lambda: people.assert_all_heard(member.id))


@pytest.mark.covers("I8 MemberService.SetMyConsent")
async def test_consent_said_again_changes_nothing_and_nobody_is_told(
    people: People, platform: Platform
) -> None:
    member = await platform.member()
    given = await people.consent(member.token, shares=False, wording="2026-01")
    assert given.HasField("consent"), "a first no is an answer too"
    again = await outcomes(people.consent(member.token, shares=False, wording="2026-01") for _ in range(5))
    assert set(again) == {DONE}
    assert await people.me(member.token) == given
    await people.consent(member.token, shares=False, wording="2026-02")
    await people.consent(member.token, shares=True, wording="2026-02")
    assert (await people.events(member.id))[2:] == ["CONSENT_CHANGED"] * 3


@pytest.mark.parametrize("wording", ["", "  ", "a\x00b", "x" * 65])
async def test_consent_names_the_wording(people: People, platform: Platform, wording: str) -> None:
    member = await platform.member()
    assert await reason(people.consent(member.token, shares=True, wording=wording)) == "VALIDATION_FAILED"


async def test_changes_at_once_all_take_effect(people: People, platform: Platform) -> None:
    member, email, user_name = await platform.member(), new_email(), new_user_name()
    calls = [
        people.update(member.token, full_name="Ada King"),
        people.update(member.token, email=email),
        people.update(member.token, user_name=user_name),
        people.update(member.token, birthday="1990-01-01"),
        people.consent(member.token, shares=True),
    ]
    assert set(await asyncio.gather(*map(outcome, calls))) == {DONE}
    me = await people.me(member.token)
    assert (me.full_name, me.pending_email, me.user_name, me.birthday) == (
        "Ada King",
        email,
        user_name,
        "1990-01-01",
    )
    assert me.consent.shares_contact
