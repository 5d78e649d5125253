"""An e-mail address opens an account once its member has confirmed it, and not before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from uuid import UUID

import grpc
import pytest
from scrip.identity.v1 import auth_pb2, member_pb2, otp_pb2

from services.common.db import Connection, UnforeseenError, execute
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
    new_email,
    outcome,
    outcomes,
    tally,
)
from tests.inprocess import Platform, bearer, eventually, new_phone, reason, refusal, refused_status

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
    assert shown == made.member == await people.me(token) == await people.get(made.member.id, manager)
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
async def test_only_a_code_sent_to_the_present_address_confirms(people: People) -> None:
    first, second = new_email(), new_email()
    token = (await people.register(email=first)).token.access_token
    early, late = await people.prove(second, CONFIRM_EMAIL), await people.prove(first, CONFIRM_EMAIL)
    assert await reason(people.confirm_email(token, early)) == "OTP_NOT_VALID"
    await people.update(token, email=second)
    assert await reason(people.confirm_email(token, late)) == "OTP_NOT_VALID"
    anew = await people.prove(first, CONFIRM_EMAIL)
    assert await reason(people.confirm_email(token, anew)) == "OTP_NOT_VALID"
    assert (await people.confirm_email(token, early)).email_confirmed, (
        "it proves the address that is there now"
    )


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


@pytest.mark.covers("I8 MemberService.UpdateMe")
async def test_another_address_is_not_confirmed_and_the_same_one_stays_so(people: People) -> None:
    email = new_email()
    made = await people.register(email=email, user_name=f"name-{new_id()}")
    token = made.token.access_token
    assert (await people.confirm_email(token, await people.prove(email, CONFIRM_EMAIL))).email_confirmed
    assert (await people.update(token, email=email.upper(), full_name="Ada")).email_confirmed
    assert not (await people.update(token, email=new_email())).email_confirmed
    changed = await people.update(token, email=email)
    assert (changed.email, changed.email_confirmed) == (email, False), "it is to be proven anew"
    await people.confirm_email(token, await people.prove(email, CONFIRM_EMAIL))
    assert not (await people.update(token, clear=["email"])).email_confirmed
    assert not (await people.update(token, email=email)).email_confirmed


@pytest.mark.covers("I8 MemberService.ConfirmMyEmail")
async def test_a_change_of_address_amid_the_confirming_leaves_it_unconfirmed(
    people: People, platform: Platform
) -> None:
    old, new = new_email(), new_email()
    made = await people.register(email=old)
    proof = await people.prove(old, CONFIRM_EMAIL)
    changed, go_on = asyncio.Event(), asyncio.Event()

    async def change(connection: Connection) -> None:
        change = "UPDATE accounts SET email = %(new)s WHERE id = %(id)s"
        await execute(connection, change, new=new, id=UUID(made.member.id))
        changed.set()
        await go_on.wait()

    async def waits_for_it() -> None:
        query = """
            SELECT pid FROM pg_stat_activity
            WHERE wait_event_type = 'Lock' AND query LIKE '%%UPDATE accounts SET email_confirmed%%'
        """
        assert await people.rows("identity", query)

    changing = asyncio.create_task(platform.databases["identity"].run(change))
    await changed.wait()
    confirming = asyncio.create_task(outcome(people.confirm_email(made.token.access_token, proof)))
    await eventually(waits_for_it)
    go_on.set()
    await changing
    assert await confirming == "OTP_NOT_VALID"
    me = await people.me(made.token.access_token)
    assert (me.email, me.email_confirmed) == (new, False)


async def test_a_change_of_address_amid_all_that_uses_it_leaves_the_new_one_unconfirmed(
    people: People,
) -> None:
    for _ in range(5):
        old, new = new_email(), new_email()
        token = (await people.register(email=old)).token.access_token
        await people.confirm_email(token, await people.prove(old, CONFIRM_EMAIL))
        proofs = [await people.prove(old, purpose) for purpose in (CONFIRM_EMAIL, RESET, LOG_IN)]
        calls: list[Awaitable[object]] = [
            people.update(token, email=new),
            people.confirm_email(token, proofs[0]),
            enter(people, proofs[1], RESET),
            enter(people, proofs[2], LOG_IN),
        ]
        changed, *results = await outcomes(calls)
        over = {"SESSION_ENDED", "SESSION_REPLACED"}
        assert changed in {DONE} | over
        assert set(results) <= {DONE, "OTP_NOT_VALID", "ACCOUNT_NOT_FOUND"} | over
        if changed == DONE:
            query = "SELECT email_confirmed FROM accounts WHERE email = %(email)s"
            assert await people.rows("identity", query, email=new) == [(False,)]
            assert await kept(people, *proofs) == set()


@pytest.mark.covers("I1 AuthService.SendOtp")
async def test_codes_of_an_address_that_is_given_up_are_forgotten(people: People) -> None:
    first, second = new_email(), new_email()
    token = (await people.register(email=first, user_name=f"name-{new_id()}")).token.access_token
    old = [await unsent(people, first, purpose) for purpose in (LOG_IN, RESET, CONFIRM_EMAIL)]
    others = [await unsent(people, second, CONFIRM_EMAIL), await unsent(people, new_email(), LOG_IN)]
    await people.update(token, email=first.upper(), full_name="Ada")
    assert len(await kept(people, *old)) == 3
    await people.update(token, email=second)
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
