"""An e-mail address opens an account once its member has confirmed it, and not before."""

from __future__ import annotations

from collections.abc import Awaitable
from uuid import UUID

import grpc
import pytest
from scrip.identity.v1 import auth_pb2, member_pb2, otp_pb2

from services.common.db import UnforeseenError
from services.common.ids import new_id
from services.identity.accounts import Recipient
from services.identity.messages import MessageSender
from services.identity.otp.commands import send_otp
from services.identity.tests.people import (
    CHANGE_PHONE,
    CONFIRM_EMAIL,
    DONE,
    LOG_IN,
    PASSWORD,
    REGISTER,
    People,
    made_otp,
    new_email,
    outcomes,
    tally,
)
from tests.inprocess import Platform, bearer, new_phone, reason, refusal, refused_status

RESET = auth_pb2.OTP_PURPOSE_RESET_PASSWORD
OTHER = "a giraffe counts forwards"


def enter(
    people: People, proof: otp_pb2.OtpProof, purpose: auth_pb2.OtpPurpose.ValueType
) -> Awaitable[object]:
    """Logs in, or sets another password."""
    if purpose == LOG_IN:
        return people.auth.LogIn(auth_pb2.LogInRequest(otp=proof))
    return people.auth.ResetPassword(auth_pb2.ResetPasswordRequest(otp=proof, new_password=OTHER))


async def unsent(people: People, to: str, purpose: auth_pb2.OtpPurpose.ValueType) -> otp_pb2.OtpProof:
    """Returns a one-time password of which staff see that it was not sent in time."""
    proof = await people.prove(to, purpose)
    row = "INSERT INTO otp_deliveries (otp_id, tries, failed_at) VALUES (%(id)s, 9, now())"
    await people.execute("identity", row, id=UUID(proof.otp_id))
    return proof


async def kept(people: People, *proofs: otp_pb2.OtpProof) -> set[str]:
    """Returns those of these one-time passwords that are still there, whole or in part."""
    query = (
        "SELECT id FROM otps UNION SELECT otp_id FROM otp_deliveries UNION SELECT otp_id FROM sandbox_otps"
    )
    found = {str(otp_id) for (otp_id,) in await people.rows("identity", query)}
    return found & {proof.otp_id for proof in proofs}


@pytest.mark.covers("I8 MemberService.ConfirmMyEmail")
async def test_a_code_sent_to_it_confirms_it_and_everybody_who_may_sees_so(
    people: People, platform: Platform
) -> None:
    email, manager = new_email(), await platform.token("manager")
    made = await people.register(email=email)
    token = made.token.access_token
    assert not made.member.email_confirmed
    shown = await people.confirm_email(token, await people.prove(email.upper(), CONFIRM_EMAIL))
    made.member.email_confirmed = True
    assert not await people.told(made.member.id), "the account has the address that it had"
    assert shown == made.member == await people.me(token)
    seen = await people.get(made.member.id, manager)
    made.member.etag = seen.etag  # staff see it alone
    assert seen == made.member
    assert list((await people.search(manager, query=email)).members) == [made.member]
    assert await people.events(made.member.id) == ["REGISTERED", "FIRST_LOGIN"]


@pytest.mark.covers("I8 MemberService.ConfirmMyEmail")
async def test_confirming_again_changes_nothing(people: People) -> None:
    email = new_email()
    token = (await people.register(email=email)).token.access_token
    proof = await people.prove(email, CONFIRM_EMAIL)
    results = tally(await outcomes(people.confirm_email(token, proof) for _ in range(5)))
    assert results[DONE] == 1
    assert set(results) <= {DONE, "OTP_NOT_VALID", "OTP_TRIES_EXHAUSTED"}
    assert await reason(people.confirm_email(token, proof)) == "OTP_NOT_VALID"
    assert (await people.confirm_email(token, await people.prove(email, CONFIRM_EMAIL))).email_confirmed


@pytest.mark.covers("I1 AuthService.LogIn", "I2 AuthService.ResetPassword")
@pytest.mark.parametrize("purpose", [LOG_IN, RESET])
async def test_before_that_it_is_as_good_as_unknown(
    people: People, purpose: auth_pb2.OtpPurpose.ValueType
) -> None:
    email = new_email()
    token = (await people.register(email=email)).token.access_token
    told = await refusal(enter(people, await people.prove(email, purpose), purpose))
    assert told == await refusal(enter(people, await people.prove(new_email(), purpose), purpose))
    assert told[:2] == ("ACCOUNT_NOT_FOUND", grpc.StatusCode.NOT_FOUND)
    token = (await people.log_in(email, PASSWORD)).access_token  # the password is what it was
    await people.confirm_email(token, await people.prove(email, CONFIRM_EMAIL))
    await enter(people, await people.prove(email, purpose), purpose)


@pytest.mark.covers("I2 AuthService.ResetPassword")
async def test_who_writes_somebody_elses_address_into_an_account_gains_nothing(
    people: People, platform: Platform
) -> None:
    email, phone = new_email(), new_phone()
    thief = await people.register(otp=await people.prove(phone, REGISTER), email=email)
    victim = await platform.member()
    for purpose in (LOG_IN, RESET):
        proof = await people.prove(email, purpose)
        assert await reason(enter(people, proof, purpose)) == "ACCOUNT_NOT_FOUND"
        assert await reason(people.confirm_email(thief.token.access_token, proof)) == "OTP_NOT_VALID"
    proof = await people.prove(email, CONFIRM_EMAIL)
    assert await reason(people.confirm_email(victim.token, proof)) == "OTP_NOT_VALID"
    assert not (await people.me(thief.token.access_token)).email_confirmed
    assert await reason(people.log_in(email, OTHER)) == "CREDENTIALS_NOT_VALID"


@pytest.mark.covers("I8 MemberService.ConfirmMyEmail")
async def test_only_a_code_sent_to_an_address_of_the_account_confirms(people: People) -> None:
    first, second = new_email(), new_email()
    token = (await people.register(email=first)).token.access_token
    early, late = await people.prove(second, CONFIRM_EMAIL), await people.prove(first, CONFIRM_EMAIL)
    assert await reason(people.confirm_email(token, early)) == "OTP_NOT_VALID"
    await people.update(token, email=second)
    changed = await people.confirm_email(token, early)
    assert (changed.email, changed.email_confirmed) == (second, True), "it proves the address wanted now"
    assert await reason(people.confirm_email(token, late)) == "OTP_NOT_VALID"
    anew = await people.prove(first, CONFIRM_EMAIL)
    assert await reason(people.confirm_email(token, anew)) == "OTP_NOT_VALID"


@pytest.mark.covers("I8 MemberService.ConfirmMyEmail")
async def test_one_without_an_address_can_not_confirm_any(people: People, platform: Platform) -> None:
    member = await platform.member()
    proof = await people.prove(new_email(), CONFIRM_EMAIL)
    assert await reason(people.confirm_email(member.token, proof)) == "OTP_NOT_VALID"
    forced = people.execute(
        "identity", "UPDATE accounts SET email_confirmed = true WHERE id = %(id)s", id=member.id
    )
    with pytest.raises(UnforeseenError, match="ck_accounts_confirmed_email"):
        await forced


@pytest.mark.covers("I8 MemberService.UpdateMe", "I8 MemberService.ConfirmMyEmail")
async def test_another_address_waits_until_it_is_confirmed_and_the_present_one_stays(people: People) -> None:
    old, new = new_email(), new_email()
    made = await people.register(email=old, user_name=f"name-{new_id()}")
    token = made.token.access_token
    confirmed = await people.confirm_email(token, await people.prove(old, CONFIRM_EMAIL))
    changed = await people.update(token, email=new.upper())
    assert (changed.email, changed.email_confirmed, changed.pending_email) == (old, True, new)
    await enter(people, await people.prove(old, LOG_IN), LOG_IN)
    token = (await people.log_in(old)).access_token
    assert await reason(people.log_in(new)) == "CREDENTIALS_NOT_VALID"
    assert (await people.update(token, email=old)) == confirmed, "wanting the present one ends the waiting"
    await people.update(token, email=new)
    moved = await people.confirm_email(token, await people.prove(new, CONFIRM_EMAIL))
    assert (moved.email, moved.email_confirmed, moved.pending_email) == (new, True, "")
    assert await reason(people.log_in(old)) == "CREDENTIALS_NOT_VALID"
    token = (await people.log_in(new)).access_token
    await people.update(token, email=old)
    emptied = await people.update(token, clear=["email"])
    assert (emptied.email, emptied.email_confirmed, emptied.pending_email) == ("", False, "")


async def test_changes_and_confirmations_at_once_leave_one_confirmed_address(
    people: People, platform: Platform
) -> None:
    """All lock the account's row before one-time passwords, so that nobody waits in a circle."""
    deadlocks = platform.deadlocks()
    for _ in range(8):
        old, new = new_email(), new_email()
        token = (await people.register(email=old, user_name=f"name-{new_id()}")).token.access_token
        await people.confirm_email(token, await people.prove(old, CONFIRM_EMAIL))
        await people.update(token, email=new)
        proofs = [await people.prove(old, purpose) for purpose in (CONFIRM_EMAIL, RESET, LOG_IN)]
        proof = await people.fresh_proof(token)
        calls: list[Awaitable[object]] = [
            people.confirm_email(token, await people.prove(new, CONFIRM_EMAIL)),
            people.update(token, clear=["email"], proof=proof),
            people.confirm_email(token, proofs[0]),
            enter(people, proofs[1], RESET),
            enter(people, proofs[2], LOG_IN),
        ]
        results = await outcomes(calls)
        over = {"SESSION_ENDED", "SESSION_REPLACED", "CURRENT_PASSWORD_NOT_VALID"}
        assert set(results) <= {DONE, "OTP_NOT_VALID", "ACCOUNT_NOT_FOUND"} | over
        query = "SELECT email FROM accounts WHERE email = ANY(%(emails)s) AND NOT email_confirmed"
        assert await people.rows("identity", query, emails=[old, new]) == []
        if results[0] == results[1] == DONE:
            assert await kept(people, *proofs) == set()
    assert platform.deadlocks() == deadlocks


@pytest.mark.covers("I8 MemberService.UpdateMe")
async def test_wanting_an_address_does_not_tell_whether_somebody_has_it(people: People) -> None:
    confirmed, unconfirmed, nobodys = new_email(), new_email(), new_email()
    owner = (await people.register(email=confirmed)).token.access_token
    await people.confirm_email(owner, await people.prove(confirmed, CONFIRM_EMAIL))
    await people.register(email=unconfirmed)
    made = await people.register()
    for email in (confirmed, unconfirmed, nobodys):
        shown = await people.update(made.token.access_token, email=email)
        made.member.pending_email = email
        assert shown == made.member


@pytest.mark.covers("I8 MemberService.ConfirmMyEmail")
async def test_an_address_that_another_has_confirmed_is_told_to_be_taken_only_to_who_proves_it(
    people: People,
) -> None:
    email = new_email()
    owner = (await people.register(email=email)).token.access_token
    await people.confirm_email(owner, await people.prove(email, CONFIRM_EMAIL))
    token = (await people.register()).token.access_token
    await people.update(token, email=email)
    proof = await people.prove(email, CONFIRM_EMAIL)
    assert await reason(people.confirm_email(token, proof)) == "EMAIL_TAKEN"
    assert (await people.me(owner)).email == email
    await people.update(owner, clear=["email"], user_name=f"name-{new_id()}")
    assert await reason(people.confirm_email(token, proof)) == "OTP_NOT_VALID", "it was given up too"
    assert (await people.confirm_email(token, await people.prove(email, CONFIRM_EMAIL))).email == email


@pytest.mark.covers("I8 MemberService.ConfirmMyEmail")
async def test_who_proves_an_address_takes_it_from_who_never_confirmed_it(people: People) -> None:
    email, phone = new_email(), new_phone()
    squatter = await people.register(otp=await people.prove(phone, REGISTER), email=email)
    owner = await people.register()
    await people.update(owner.token.access_token, email=email)
    await people.confirm_email(owner.token.access_token, await people.prove(email, CONFIRM_EMAIL))
    left = await people.me(squatter.token.access_token)
    assert (left.email, left.pending_email, left.user_name, left.phone) == ("", email, "", phone)
    assert await people.told(squatter.member.id) == [("EMAIL_CHANGED", f"…{phone[-4:]}")]
    me = await people.me((await people.log_in(email)).access_token)
    assert (me.id, me.email, me.email_confirmed) == (owner.member.id, email, True)
    again = await people.prove(email, CONFIRM_EMAIL)
    assert await reason(people.confirm_email(squatter.token.access_token, again)) == "EMAIL_TAKEN"


@pytest.mark.covers("I8 MemberService.ConfirmMyEmail")
async def test_an_account_that_loses_its_only_name_gets_another_and_goes_on(people: People) -> None:
    email = new_email()
    made = await people.register(email=email)
    owner = (await people.register()).token.access_token
    await people.update(owner, email=email)
    await people.confirm_email(owner, await people.prove(email, CONFIRM_EMAIL))
    token = made.token.access_token
    left = await people.me(token)
    assert (left.email, left.email_confirmed) == ("", False)
    assert left.user_name.startswith("member-")
    assert (await people.me((await people.log_in(left.user_name)).access_token)).id == made.member.id


@pytest.mark.covers("I2 AuthService.RegisterMember")
async def test_the_owner_of_an_address_registers_with_it_whoever_wrote_it_down_before(people: People) -> None:
    email = new_email()
    squatter = await people.register(email=email)
    assert await reason(people.register(email=email)) == "EMAIL_TAKEN"
    proof = await people.prove(email.upper(), REGISTER)
    other = await reason(people.register(otp=proof, email=new_email()))
    assert other == "VALIDATION_FAILED", "it is another one than was proven"
    request = auth_pb2.RegisterMemberRequest(otp=proof, full_name="Ada Lovelace")
    made = await people.auth.RegisterMember(request)
    assert (made.member.email, made.member.email_confirmed) == (email, True)
    assert not made.member.has_password, "the address alone is a way in"
    assert (await people.me(squatter.token.access_token)).email == ""
    await enter(people, await people.prove(email, LOG_IN), LOG_IN)
    late = auth_pb2.RegisterMemberRequest(otp=await people.prove(email, REGISTER), full_name="Eve")
    assert await reason(people.auth.RegisterMember(late)) == "EMAIL_TAKEN"


@pytest.mark.covers("I8 MemberService.ConfirmMyEmail")
async def test_of_twenty_accounts_that_prove_one_address_at_once_one_gets_it(
    people: People, platform: Platform
) -> None:
    email, deadlocks = new_email(), platform.deadlocks()
    await people.register(email=email)
    members = [await platform.member() for _ in range(20)]
    for member in members:
        await people.update(member.token, email=email)
    proofs = [await made_otp(platform, email, CONFIRM_EMAIL) for _ in members]
    calls = [people.confirm_email(one.token, proof) for one, proof in zip(members, proofs, strict=True)]
    assert tally(await outcomes(calls)) == {DONE: 1, "EMAIL_TAKEN": 19}
    assert platform.deadlocks() == deadlocks


@pytest.mark.covers("I1 AuthService.SendOtp")
async def test_codes_of_an_address_that_is_given_up_are_forgotten(people: People, platform: Platform) -> None:
    first, second = new_email(), new_email()
    token = (await people.register(email=first, user_name=f"name-{new_id()}")).token.access_token
    old = [await unsent(people, first, purpose) for purpose in (LOG_IN, RESET, CONFIRM_EMAIL)]
    others = [await unsent(people, second, LOG_IN), await unsent(people, new_email(), LOG_IN)]
    await people.update(token, email=first.upper(), full_name="Ada")
    await people.update(token, email=second)
    assert len(await kept(people, *old)) == 3, "it is not given up yet"
    await people.confirm_email(token, await made_otp(platform, second, CONFIRM_EMAIL))
    assert await kept(people, *old) == set()
    assert len(await kept(people, *others)) == 2
    await people.update(token, clear=["email"])
    assert await kept(people, *others) == {others[1].otp_id}


@pytest.mark.covers("I8 MemberService.ChangeMyPhone")
async def test_codes_of_a_number_that_is_given_up_are_forgotten(people: People, platform: Platform) -> None:
    member, phone = await platform.member(), new_phone()
    old = [await unsent(people, member.phone, purpose) for purpose in (LOG_IN, RESET, REGISTER)]
    other = await unsent(people, phone, LOG_IN)
    await people.change_phone(member.token, await people.prove(member.phone, CHANGE_PHONE))
    assert len(await kept(people, *old)) == 3, "it is the same number"
    await people.change_phone(member.token, await people.prove(phone, CHANGE_PHONE))
    assert await kept(people, *old, other) == {other.otp_id}
    assert await reason(enter(people, old[0], LOG_IN)) == "OTP_NOT_VALID"


@pytest.mark.covers("I1 AuthService.SendOtp")
async def test_a_number_can_not_be_confirmed_as_an_address(people: People, platform: Platform) -> None:
    request = auth_pb2.SendOtpRequest(phone=new_phone(), purpose=CONFIRM_EMAIL)
    status, _ = await refused_status(people.auth.SendOtp(request))
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert "with phone, purpose must not be OTP_PURPOSE_CONFIRM_EMAIL" in status.message
    to, sender = Recipient(new_phone()), MessageSender.sandbox()
    name = auth_pb2.OtpPurpose.Name(CONFIRM_EMAIL)
    with pytest.raises(UnforeseenError, match="ck_otps_purposes_of_phone"):
        await platform.databases["identity"].run(send_otp, platform.vault, sender, recipient=to, purpose=name)


@pytest.mark.covers("I8 MemberService.ConfirmMyEmail")
async def test_only_a_member_who_is_active_confirms(people: People, platform: Platform) -> None:
    email = new_email()
    made = await people.register(email=email)
    proof, manager = await people.prove(email, CONFIRM_EMAIL), await platform.token("manager")
    assert await reason(people.confirm_email(manager, proof)) == "ROLE_NOT_ALLOWED"
    request = member_pb2.ConfirmMyEmailRequest()
    call = people.members.ConfirmMyEmail(request, metadata=bearer(made.token.access_token))
    assert await reason(call) == "VALIDATION_FAILED"
    await people.suspend(made.member.id, manager)
    # At once, before its login is known to be over everywhere: the statement decides.
    assert await reason(people.confirm_email(made.token.access_token, proof)) == "ACCOUNT_SUSPENDED"
    assert not (await people.get(made.member.id, manager)).email_confirmed
