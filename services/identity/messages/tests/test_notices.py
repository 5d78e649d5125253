"""Members are told, where they could be reached before, that their accounts were changed."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import tuple_row
from scrip.identity.v1 import auth_pb2, member_pb2, notice_pb2, otp_pb2, sandbox_pb2, sandbox_pb2_grpc

from services.common.ids import new_id
from services.common.paging import Page
from services.identity.accounts import Contact
from services.identity.keys import Vault
from services.identity.messages import NoticeKind, Notices, choose_sender, pick_language
from services.identity.messages.commands import MOST_A_DAY, forget_old_notices
from services.identity.messages.queries import NOTICES
from services.identity.messages.texts import LANGUAGES, notice_text
from services.identity.tests.people import (
    CHANGE_PHONE,
    CONFIRM_EMAIL,
    PASSWORD,
    REGISTER,
    People,
    made_otp,
    new_email,
    new_user_name,
)
from services.identity.tests.sending import Sending, arrived, sending, smtp, webhook
from services.identity.tests.sinks import HttpSink, MailSink, listening
from services.identity.tests.staff_help import PASSWORD as STAFF_PASSWORD
from services.identity.tests.staff_help import create_staff, log_in
from tests.inprocess import Platform, bearer, eventually, new_phone, reason

OTHER = "a giraffe counts forwards"


async def whole(people: People) -> tuple[str, member_pb2.Member]:
    """Returns token and account of a member with a number and a confirmed address."""
    otp = await people.prove(new_phone(), REGISTER)
    made = await people.register(otp=otp, email=new_email(), user_name=new_user_name())
    token = made.token.access_token
    proof = await people.prove(made.member.email, CONFIRM_EMAIL)
    return token, await people.confirm_email(token, proof)


def both(kind: str, member: member_pb2.Member) -> list[tuple[str, str]]:
    """Returns the notices of one change to a member who can be reached in both ways, sorted."""
    return sorted([(kind, f"…{member.phone[-4:]}"), (kind, f"{member.email[0]}…@example.com")])


@pytest.mark.covers("I9 MemberService.ChangeMyPhone")
async def test_the_old_number_and_address_are_told_of_a_new_number(people: People) -> None:
    token, before = await whole(people)
    otp = await people.prove(new_phone(), CHANGE_PHONE)
    await people.change_phone(token, otp)
    assert await people.told(before.id) == both("PHONE_CHANGED", before)
    await people.change_phone(token, await people.prove((await people.me(token)).phone, CHANGE_PHONE))
    assert len(await people.told(before.id)) == 2, "it is the same number"


@pytest.mark.covers("I9 MemberService.ConfirmMyEmail")
async def test_the_old_address_is_told_of_a_new_one_once_that_is_confirmed(people: People) -> None:
    token, before = await whole(people)
    wanted = new_email()
    await people.update(token, email=wanted)
    assert await people.told(before.id) == []
    await people.confirm_email(token, await people.prove(wanted, CONFIRM_EMAIL))
    assert await people.told(before.id) == both("EMAIL_CHANGED", before)


@pytest.mark.covers("I9 MemberService.UpdateMe")
async def test_emptied_names_are_told(people: People) -> None:
    token, before = await whole(people)
    await people.update(token, clear=["user_name", "email"])
    told = both("EMAIL_CHANGED", before) + both("USER_NAME_CHANGED", before)
    assert await people.told(before.id) == told
    await people.update(token, full_name="Ada King", clear=["birthday", "user_name"])
    assert await people.told(before.id) == told


@pytest.mark.covers("I9 AuthService.ChangePassword", "I9 AuthService.ResetPassword")
async def test_another_password_is_told_however_it_was_set(people: People) -> None:
    token, before = await whole(people)
    request = auth_pb2.ChangePasswordRequest(current_password=PASSWORD, new_password=OTHER)
    await people.auth.ChangePassword(request, metadata=bearer(token))
    otp = await people.prove(before.phone, auth_pb2.OTP_PURPOSE_RESET_PASSWORD)
    await people.auth.ResetPassword(auth_pb2.ResetPasswordRequest(otp=otp, new_password=PASSWORD))
    assert await people.told(before.id) == sorted(both("PASSWORD_CHANGED", before) * 2)


async def test_staff_are_not_told(people: People, platform: Platform) -> None:
    made = await create_staff(people.channel, await platform.admin())
    token = (await log_in(people.channel, made.user_name)).access_token
    request = auth_pb2.ChangePasswordRequest(current_password=STAFF_PASSWORD, new_password=OTHER)
    await people.auth.ChangePassword(request, metadata=bearer(token))
    assert await people.told(made.id) == []


@pytest.mark.covers("I9 MemberService.CloseMe")
async def test_who_closed_the_account_is_told_and_nothing_else_of_it_is_left(people: People) -> None:
    token, before = await whole(people)
    await people.close(token)
    assert await people.told(before.id) == both("ACCOUNT_CLOSED", before)


async def test_an_address_that_is_not_confirmed_is_told_nothing(people: People) -> None:
    """It may be a stranger's."""
    made = await people.register(email=new_email(), user_name=new_user_name())
    await people.update(made.token.access_token, user_name=new_user_name())
    assert await people.told(made.member.id) == []


async def test_a_change_that_is_refused_is_not_told(people: People) -> None:
    token, before = await whole(people)
    taken = (await people.register()).member.user_name
    assert await reason(people.update(token, user_name=taken)) == "USER_NAME_TAKEN"
    assert await people.told(before.id) == []


async def test_a_name_that_changes_without_end_costs_no_end_of_messages(
    people: People, platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    member = await platform.member()
    for _ in range(MOST_A_DAY + 2):
        proof = otp_pb2.Proof(otp=await made_otp(platform, member.phone, auth_pb2.OTP_PURPOSE_STEP_UP))
        await people.update(member.token, user_name=new_user_name(), proof=proof)
    assert len(await people.told(member.id)) == MOST_A_DAY
    assert f"a member had {MOST_A_DAY} notices in a day" in caplog.text
    await people.execute(
        "identity",
        "UPDATE notices SET created_at = now() - interval '25 hours' WHERE member_id = %(id)s",
        id=member.id,
    )
    await people.update(member.token, user_name=new_user_name())
    assert len(await people.told(member.id)) == MOST_A_DAY + 1


# ---------------------------------------------------------------------------- languages


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("de", "de"),
        ("DE-at", "de"),
        ("fr", "en"),
        ("fr, de;q=0.8, en;q=0.7", "de"),
        ("de;q=0.3, en;q=0.7", "en"),
        ("de;q=0", "en"),
        ("*, de;q=0.5", "en"),
        ("de-DE;q=0.9,*;q=0.1", "de"),
        ("; ,,q=, de;q=9, d\u00e9", "en"),
        ("fr," * 10_000 + "de", "en"),
    ],
)
def test_the_best_liked_language_that_has_texts_is_picked(accepted: str | None, language: str) -> None:
    assert pick_language(accepted) == language


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", NoticeKind)
def test_every_notice_has_a_text_of_its_own_that_fits_into_an_sms(kind: NoticeKind, language: str) -> None:
    text = notice_text(kind, language, datetime(2026, 12, 1, 9, 5, tzinfo=UTC))
    assert "{" not in text.body + text.subject
    assert "9:05 UTC" in text.body
    assert len(text.body) <= 160
    others = [notice_text(other, language, datetime.now(UTC)).body for other in NoticeKind if other != kind]
    assert text.body.split("2026")[0] not in [other.split("20")[0] for other in others]


@pytest.mark.covers("I9 SandboxService.ListSandboxNotices")
async def test_the_sandbox_shows_what_a_member_would_read_in_its_language(
    people: People, platform: Platform
) -> None:
    member = await platform.member()
    proof = await people.fresh_proof(member.token)
    request = member_pb2.UpdateMeRequest(user_name=new_user_name(), proof=proof)
    metadata = bearer(member.token, accept_language="de-CH, en;q=0.5")
    await people.members.UpdateMe(request, metadata=metadata)
    sandbox = sandbox_pb2_grpc.SandboxServiceStub(people.channel)
    asked = sandbox_pb2.ListSandboxNoticesRequest(member_id=str(member.id))
    found = await sandbox.ListSandboxNotices(asked, metadata=bearer(await platform.admin()))
    [inbox] = found.notices
    assert inbox.notice.state == notice_pb2.NOTICE_STATE_SENT
    assert (inbox.notice.language, inbox.subject) == ("de", "Ihr Scrip-Konto wurde geändert")
    assert inbox.text.startswith("Der Name Ihres Scrip-Kontos wurde am ")
    for token in (member.token, await platform.token("manager")):
        refused = sandbox.ListSandboxNotices(asked, metadata=bearer(token))
        assert await reason(refused) == "ROLE_NOT_ALLOWED"


# ---------------------------------------------------------------------------- sending


async def told(identity: Sending, *, to: Contact, language: str = "en") -> UUID:
    """Has an identity that sends tell a new member of another user name; returns whose account it is."""
    account_id, settings = new_id(), identity.settings
    notices = Notices(Vault(settings.master_key.get_secret_value()), choose_sender(settings))
    await identity.own.database.run(_insert_account, account_id)
    await identity.own.database.run(
        notices.tell,
        member_id=account_id,
        kind=NoticeKind.USER_NAME_CHANGED,
        to=to,
        language=language,
    )
    return account_id


async def _insert_account(connection: Any, account_id: UUID) -> None:
    await connection.execute(
        "INSERT INTO accounts (id, kind, phone) VALUES (%(id)s, 'MEMBER', %(phone)s)",
        {"id": account_id, "phone": new_phone()},
    )


async def states(identity: Sending) -> list[tuple[str, str, bool]]:
    """Returns state and last error of all notices, and whether their recipients are still kept."""
    query = "SELECT state, last_error, sealed_recipient IS NOT NULL FROM notices ORDER BY id"
    return [*await identity.rows(query)]


async def test_a_notice_arrives_by_mail_with_a_subject_of_its_own_and_its_recipient_is_forgotten(
    platform: Platform,
) -> None:
    sink, email = MailSink(), new_email()
    async with listening(sink), sending(platform, **smtp(sink)) as identity:
        await told(identity, to=Contact(None, email), language="de")
        await arrived(lambda: sink.mails)
        [mail] = sink.mails
        assert mail.recipient == email
        assert mail.content["Subject"].startswith("Ihr Scrip-Konto ")
        text = mail.content.get_payload(decode=True)
        assert isinstance(text, bytes)
        assert text.decode().startswith("Der Name Ihres Scrip-Kontos wurde am ")

        async def forgotten() -> None:
            assert await states(identity) == [("SENT", "", False)]

        await eventually(forgotten)


async def test_one_that_a_provider_does_not_take_is_tried_again_and_waits_where_staff_see_it(
    platform: Platform,
) -> None:
    sink, phone = HttpSink(failures=[503, 503]), new_phone()
    async with listening(sink), sending(platform, **webhook(sink)) as identity:
        await told(identity, to=Contact(phone, None))
        await arrived(lambda: sink.posts, 3)
        assert len({post.headers["webhook-id"] for post in sink.posts}) == 1, "it is the same message"
        assert phone.encode() in sink.posts[-1].body

        async def sent() -> None:
            assert await states(identity) == [("SENT", "the provider answered 503", False)]

        await eventually(sent)
        rows = await identity.rows("SELECT args::text FROM procrastinate_jobs")
        assert phone not in str(rows)


@pytest.mark.covers("I9 MemberAdminService.ListNotices")
async def test_one_that_is_too_late_is_given_up_and_listed_as_failed(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    sink = HttpSink(failures=[503] * 1_000)
    async with listening(sink), sending(platform, **webhook(sink)) as identity:
        account_id = await told(identity, to=Contact(new_phone(), None))
        await arrived(lambda: sink.posts)
        await identity.rows("UPDATE notices SET created_at = now() - interval '7 hours' RETURNING id")

        async def failed() -> None:
            assert await states(identity) == [("FAILED", "the provider answered 503", False)]

        await eventually(failed, seconds=60)
        assert "could not be sent in time" in caplog.text
        page = await identity.own.database.read(
            NOTICES.page, Page(0, "", "notices"), state="FAILED", member_id=account_id
        )
        assert [row.tries >= 1 for row in page[0]] == [True]


async def test_where_no_way_of_sending_is_set_up_the_change_is_made_and_staff_see_that_it_was_not_told(
    platform: Platform,
) -> None:
    async with sending(platform, worker=False, otp_sender="none") as identity:
        await told(identity, to=Contact(new_phone(), new_email()))
        assert await states(identity) == [("FAILED", "no way of sending is set up", False)] * 2
        assert await identity.rows("SELECT id FROM procrastinate_jobs WHERE task_name = 'send_notice'") == []


async def test_old_notices_are_forgotten(platform: Platform) -> None:
    async with sending(platform, worker=False, otp_sender="none") as identity:
        for _ in range(2):
            await told(identity, to=Contact(new_phone(), None))
        [(old,), _] = await identity.rows("SELECT id FROM notices ORDER BY id")
        update = "UPDATE notices SET created_at = now() - interval '8 days' WHERE id = %(id)s RETURNING id"
        await identity.rows(update, id=old)
        assert await identity.own.database.run(forget_old_notices) == 1
        assert len(await states(identity)) == 1


async def test_staff_find_notices_of_any_state_or_member_among_many_by_an_index(platform: Platform) -> None:
    async with sending(platform, worker=False, otp_sender="none") as identity:
        member_id = await told(identity, to=Contact(new_phone(), None))
        fill = """
            INSERT INTO notices (id, member_id, kind, language, recipient, state, created_at)
            SELECT uuidv7(), %(id)s, 'PHONE_CHANGED', 'en', '…0000', 'SENT', now() - number * interval '1 s'
            FROM generate_series(1, 20000) AS number RETURNING 1
        """
        await identity.rows(fill, id=member_id)
        async with await psycopg.AsyncConnection.connect(identity.own.database_url, autocommit=True) as raw:
            await raw.execute("ANALYZE notices")
            for condition in ("true", "n.state = 'FAILED'", f"n.member_id = '{new_id()}'"):
                for direction in ("ASC", "DESC"):
                    query = f"""
                        EXPLAIN SELECT n.id FROM notices n WHERE {condition}
                        ORDER BY n.created_at {direction}, n.id {direction} LIMIT 51
                    """
                    cursor = await raw.cursor(row_factory=tuple_row).execute(query.encode())
                    plan = "\n".join(row[0] for row in await cursor.fetchall())
                    assert "Seq Scan" not in plan, plan
                    assert "Sort" not in plan, plan
