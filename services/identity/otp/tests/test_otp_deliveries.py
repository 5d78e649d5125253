"""Ways of sending side by side, and the one-time passwords that did not get through, which staff see."""

from __future__ import annotations

import json
from collections.abc import Sequence

import grpc
import pytest
from scrip.identity.v1 import auth_pb2, member_pb2, member_pb2_grpc, otp_pb2

from services.identity.tests.people import LOG_IN, People, new_email
from services.identity.tests.sending import Sending, arrived, code_in, sending, smtp, webhook
from services.identity.tests.sinks import HttpSink, MailSink, listening
from tests.inprocess import ADMIN_PASSWORD, Platform, bearer, eventually, new_phone, refusal

ALL = otp_pb2.OTP_DELIVERY_STATE_UNSPECIFIED
WAITING, FAILED = otp_pb2.OTP_DELIVERY_STATE_WAITING, otp_pb2.OTP_DELIVERY_STATE_FAILED
NO_WAY = ("DEPENDENCY_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE, {"dependency": "otp_sender"})


async def unsent(
    identity: Sending, state: otp_pb2.OtpDeliveryState.ValueType = ALL
) -> Sequence[otp_pb2.OtpDelivery]:
    """Returns what staff see."""
    staff = auth_pb2.PasswordCredentials(user_name="admin", password=ADMIN_PASSWORD)
    token = (await identity.auth.LogIn(auth_pb2.LogInRequest(password=staff))).token.access_token
    stub = member_pb2_grpc.MemberAdminServiceStub(identity.own.channel)
    request = member_pb2.ListOtpDeliveriesRequest(state=state)
    return (await stub.ListOtpDeliveries(request, metadata=bearer(token))).deliveries


async def expire(identity: Sending, otp_id: str) -> None:
    """Lets the time of a code be over."""
    aged = "UPDATE otps SET expires_at = now() WHERE id = CAST(%(id)s AS uuid) RETURNING 1"
    assert await identity.rows(aged, id=otp_id)


@pytest.mark.covers("I1 AuthService.SendOtp")
async def test_numbers_go_to_the_provider_and_addresses_to_the_mail_server(platform: Platform) -> None:
    mails, posts = MailSink(), HttpSink()
    async with listening(mails), listening(posts):
        both = smtp(mails, otp_smtp_to="") | webhook(posts)
        async with sending(platform, **both) as identity:
            phone, email = new_phone(), new_email()
            by_phone, by_email = await identity.sent(phone), await identity.sent(email.upper())
            await arrived(lambda: mails.mails)
            await arrived(lambda: posts.posts)
            await eventually(identity.assert_nothing_waits, seconds=20)
    [mail], [post] = mails.mails, posts.posts
    assert (mail.recipient, mail.content["To"]) == (email, email)
    assert mail.content["Message-ID"] == f"<{by_email.otp_id}@shop.example>"
    assert json.loads(post.body)["phone"] == phone
    assert post.headers["webhook-id"] == by_phone.otp_id
    assert code_in(mail.text)


@pytest.mark.covers("I1 AuthService.SendOtp")
async def test_one_mail_server_serves_numbers_by_their_gateway_and_addresses_as_they_are(
    platform: Platform,
) -> None:
    mails = MailSink()
    async with listening(mails), sending(platform, **smtp(mails)) as identity:
        phone, email = new_phone(), new_email()
        await identity.sent(phone)
        await identity.sent(email)
        await arrived(lambda: mails.mails, 2)
    assert {mail.recipient for mail in mails.mails} == {email, f"{phone[1:]}@sms.example"}


async def test_an_address_that_a_header_would_read_as_another_gets_its_own_mail(platform: Platform) -> None:
    mails = MailSink()
    email = "=?utf-8?q?victim?=@example.com"
    async with listening(mails), sending(platform, **smtp(mails)) as identity:
        await identity.sent(email)
        await arrived(lambda: mails.mails)
    [mail] = mails.mails
    assert (mail.recipient, mail.content["To"]) == (email, None)


@pytest.mark.covers("I1 AuthService.SendOtp")
async def test_who_can_not_be_reached_is_told_so(platform: Platform) -> None:
    mails, posts = MailSink(), HttpSink()
    async with listening(mails), listening(posts):
        async with sending(platform, worker=False, **webhook(posts)) as identity:
            assert await refusal(identity.ask(new_email())) == NO_WAY
            await identity.sent(new_phone())
            assert len(await identity.rows("SELECT id FROM otps")) == 1
        async with sending(platform, **smtp(mails, otp_sender="none", otp_smtp_to="")) as identity:
            assert await refusal(identity.ask(new_phone())) == NO_WAY
            await identity.sent(new_email())
            await arrived(lambda: mails.mails)


@pytest.mark.covers("I1 MemberAdminService.ListOtpDeliveries")
async def test_staff_see_what_waits_and_what_came_too_late(platform: Platform) -> None:
    posts, mails = HttpSink(failures=[503] * 100), MailSink(failures=[550] * 100)
    async with listening(posts), listening(mails):
        both = smtp(mails) | webhook(posts)
        async with sending(platform, otp_send_seconds=5.0, **both) as identity:
            phone, email = new_phone(), new_email()
            by_phone, by_email = await identity.sent(phone), await identity.sent(email)

            async def tried() -> None:
                second, first = await unsent(identity, WAITING)
                assert (first.otp_id, second.otp_id) == (by_phone.otp_id, by_email.otp_id), "newest first"
                assert min(first.tries, second.tries) >= 2
                assert first.last_error == "the provider answered 503"
                assert second.last_error == "the mail server refused the recipient with 550"
                assert first.asked_at.seconds <= first.tried_at.seconds < first.expires_at.seconds
                assert first.recipient == f"…{phone[-4:]}"
                assert second.recipient == f"{email[0]}…@example.com"
                told = str(first) + str(second)
                assert phone not in told
                assert email not in told

            await eventually(tried, seconds=20)
            await expire(identity, by_phone.otp_id)

            async def failed() -> None:
                late = await unsent(identity, FAILED)
                assert [(one.otp_id, one.state) for one in late] == [(by_phone.otp_id, FAILED)]
                assert late[0].last_error == "the provider answered 503"

            await eventually(failed, seconds=20)
            [waiting] = await unsent(identity, WAITING)
            assert waiting.otp_id == by_email.otp_id
            assert len(await unsent(identity)) == 2
            kept = "SELECT otp_id FROM otp_deliveries WHERE sealed_code IS NOT NULL"
            assert len(await identity.rows(kept)) == 1, "the late code is gone"
            mails.failures.clear()  # what gets through at last is no longer listed
            await arrived(lambda: mails.mails, seconds=30)
            await eventually(identity.assert_nothing_waits, seconds=20)
            [left] = await unsent(identity)
            assert left.otp_id == by_phone.otp_id


@pytest.mark.covers("I1 MemberAdminService.ListOtpDeliveries")
async def test_what_no_worker_was_there_to_send_is_seen_too(platform: Platform) -> None:
    posts = HttpSink()
    async with sending(platform, worker=False, **webhook(posts)) as identity:
        sent = await identity.sent()
        await expire(identity, sent.otp_id)
        aged = "UPDATE otps SET expires_at = now() - interval '2 days' RETURNING 1"
        await identity.rows(aged)
    async with sending(platform, database_url=identity.own.database_url, **webhook(posts)) as identity:

        async def failed() -> None:
            late = await unsent(identity, FAILED)
            assert [(one.otp_id, one.tries, one.last_error) for one in late] == [(sent.otp_id, 0, "")]
            assert not late[0].HasField("tried_at")

        await eventually(failed, seconds=20)
    assert posts.posts == []


@pytest.mark.covers("I1 MemberAdminService.ListOtpDeliveries")
async def test_closing_an_account_erases_them(people: People) -> None:
    email = new_email()
    made = await people.register(email=email)
    proof = await people.prove(email, LOG_IN)
    late = "INSERT INTO otp_deliveries (otp_id, failed_at) VALUES (CAST(%(id)s AS uuid), now())"
    await people.execute("identity", late, id=proof.otp_id)
    found = "SELECT otp_id FROM otp_deliveries WHERE otp_id = CAST(%(id)s AS uuid)"
    assert await people.rows("identity", found, id=proof.otp_id)
    await people.close(made.token.access_token)
    assert await people.rows("identity", found, id=proof.otp_id) == []
