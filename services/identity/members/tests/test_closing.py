"""Closing an account: personal data is erased everywhere, the books stay."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from psycopg import sql
from scrip.common.v1 import money_pb2
from scrip.identity.v1 import auth_pb2, member_pb2
from scrip.points.v1 import purchase_pb2, purchase_pb2_grpc
from scrip.promos.v1 import campaign_pb2, campaign_pb2_grpc, code_pb2
from scrip.vouchers.v1 import catalogue_pb2, catalogue_pb2_grpc, order_pb2, order_pb2_grpc

from services.common.db import Connection, fetch_all, fetch_value
from services.common.encoding import timestamp
from services.common.ids import new_id, utc_now
from services.identity.tests.people import (
    CONFIRM_EMAIL,
    DONE,
    LOG_IN,
    REGISTER,
    People,
    new_email,
    new_user_name,
    outcomes,
    tally,
)
from tests.inprocess import Member, Platform, bearer, eventually, new_phone, reason
from tests.invariants import check_ledger


async def whole_member(people: People) -> tuple[Member, member_pb2.Member]:
    """Returns a member with everything that a member can have."""
    phone = new_phone()
    made = await people.register(
        otp=await people.prove(phone, REGISTER),
        full_name=f"Wilhelmina Überall {new_id()}",
        user_name=new_user_name(),
        email=new_email(),
        birthday="1967-08-09",
        device_id=f"device-{new_id()}",
    )
    code = await people.members.GetMyCode(
        member_pb2.GetMyCodeRequest(), metadata=bearer(made.token.access_token)
    )
    shown = await people.consent(made.token.access_token, shares=True, wording=f"wording-{new_id()}")
    token = made.token
    member = Member(
        UUID(shown.id), code.member_code, token.access_token, phone, refresh_token=token.refresh_token
    )
    return member, shown


async def buy(platform: Platform, member: Member, points: int = 100) -> None:
    """Has a till record a receipt that earns so many points."""
    request = purchase_pb2.RecordPurchaseRequest(
        member_code=member.code,
        receipt_number=str(new_id()),
        sold_at=timestamp(utc_now()),
        currency_code="USD",
        items=[purchase_pb2.PurchaseItem(sku="1", name="Bread", unit_price_minor=1_000 * points, quantity=1)],
    )
    stub = purchase_pb2_grpc.PurchaseServiceStub(platform.channels["points"])
    await stub.RecordPurchase(request, metadata=bearer(await platform.till()))


async def order(platform: Platform, member: Member) -> order_pb2.Order:
    """Has a member buy a voucher for 10 points; the order is still open."""
    catalogue = catalogue_pb2_grpc.CatalogueServiceStub(platform.channels["vouchers"])
    voucher = catalogue_pb2.CreateVoucherRequest(
        title="$5 off",
        face_value=money_pb2.Money(currency_code="USD", amount_minor=500),
        price_points=10,
        quantity=5,
    )
    made = (await catalogue.CreateVoucher(voucher, metadata=bearer(await platform.admin()))).voucher
    orders = order_pb2_grpc.OrderServiceStub(platform.channels["vouchers"])
    request = order_pb2.PlaceOrderRequest(voucher_id=made.id)
    return (
        await orders.PlaceOrder(request, metadata=bearer(member.token, idempotency_key=str(new_id())))
    ).order


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    table: str
    name: str


MENTIONS = sql.SQL(
    """
    SELECT count(*) FROM {table} WHERE EXISTS (
      SELECT FROM unnest(%(needles)s::text[]) AS n
      WHERE position(lower(n) IN lower(
        CASE WHEN pg_typeof({column})::text = 'bytea' THEN encode({column}::text::bytea, 'escape')
        ELSE {column}::text END
      )) > 0
    )
    """
)


async def mentions(connection: Connection, needles: list[str]) -> list[str]:
    """Columns of this database in which one of the texts stands, in any letter case."""
    columns = await fetch_all(
        connection,
        Column,
        """
        SELECT c.table_name AS "table", c.column_name AS name FROM information_schema.columns c
        JOIN information_schema.tables t USING (table_schema, table_name)
        WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE'
        """,
    )
    found = []
    for column in columns:
        query = MENTIONS.format(table=sql.Identifier(column.table), column=sql.Identifier(column.name))
        if await fetch_value(connection, query, needles=needles):
            found.append(f"{column.table}.{column.name}")
    return found


@pytest.mark.covers("I8 MemberService.CloseMe")
async def test_nothing_personal_is_left_in_any_table_of_any_service(
    people: People, platform: Platform
) -> None:
    member, shown = await whole_member(people)
    await buy(platform, member)
    await order(platform, member)
    manager = await platform.token("manager")
    await people.suspend(member.id, manager)
    await people.restore(member.id, manager)
    wanted, login = new_email(), await people.log_in(shown.email)
    await people.update(login.access_token, email=wanted)
    await people.prove(member.phone, LOG_IN)
    await people.prove(wanted, CONFIRM_EMAIL)
    query = "SELECT device_id FROM sessions WHERE account_id = %(id)s AND device_id <> ''"
    [(device,)] = await people.rows("identity", query, id=member.id)
    needles = [
        device,
        shown.full_name,
        "Wilhelmina",
        shown.user_name,
        shown.email,
        wanted,
        member.phone,
        member.phone[2:],
        member.phone.encode().hex(),
        shown.birthday,
        shown.consent.wording_version,
        member.code,
    ]
    before = await platform.databases["identity"].read(mentions, needles)
    assert {
        "members.full_name",
        "members.birthday",
        "members.member_code",
        "members.consent_wording",
        "accounts.user_name",
        "accounts.email",
        "accounts.pending_email",
        "accounts.phone",
        "otps.phone",
        "sessions.device_id",
    } <= set(before), "the test must be able to find what it looks for"
    await people.close(login.access_token)
    await eventually(lambda: people.assert_all_heard(member.id, "CLOSED"))
    for name, database in platform.databases.items():
        assert await database.read(mentions, needles) == [], name
    query = "SELECT password_hash FROM accounts WHERE id = %(id)s"
    assert await people.rows("identity", query, id=member.id) == [(None,)]


@pytest.mark.covers("I8 MemberService.CloseMe")
async def test_a_closed_accounts_tokens_are_refused_everywhere_within_a_second(
    people: People, platform: Platform
) -> None:
    member, shown = await whole_member(people)
    assert await people.answers(member.token) == {DONE}
    await people.close(member.token)

    async def refused() -> None:
        assert await people.answers(member.token) == {"ACCOUNT_CLOSED"}

    await eventually(refused, seconds=1)
    assert await reason(people.refresh(member.refresh_token)) == "SESSION_ENDED"
    for name in (shown.user_name, shown.email, member.phone):
        assert await reason(people.log_in(name)) == "CREDENTIALS_NOT_VALID"
    assert await reason(people.log_in_by_phone(member.phone)) == "ACCOUNT_NOT_FOUND"


@pytest.mark.covers("I8 MemberService.CloseMe")
async def test_what_it_was_known_by_is_free_again_for_a_new_account(people: People) -> None:
    member, shown = await whole_member(people)
    await people.close(member.token)
    again = await people.register(
        otp=await people.prove(member.phone, REGISTER), user_name=shown.user_name, email=shown.email
    )
    assert again.member.id != shown.id
    assert (again.member.phone, again.member.email) == (member.phone, shown.email)
    assert (await people.me((await people.log_in(shown.email)).access_token)).id == again.member.id


async def test_one_time_passwords_of_the_number_die_with_the_account(
    people: People, platform: Platform
) -> None:
    member = await platform.member()
    proof = await people.prove(member.phone, LOG_IN)
    await people.close(member.token)
    request = auth_pb2.LogInRequest(otp=proof)
    assert await reason(people.auth.LogIn(request)) == "OTP_NOT_VALID"


async def test_closing_must_be_meant(people: People, platform: Platform) -> None:
    member = await platform.member()
    proof = await people.fresh_proof(member.token)
    call = people.members.CloseMe(member_pb2.CloseMeRequest(proof=proof), metadata=bearer(member.token))
    assert await reason(call) == "VALIDATION_FAILED"
    assert (await people.me(member.token)).state == member_pb2.MEMBER_STATE_ACTIVE
    assert await reason(people.close(await platform.admin())) == "ROLE_NOT_ALLOWED"


async def test_of_fifty_closings_at_once_one_closes(people: People, platform: Platform) -> None:
    member = await platform.member()
    results = tally(await outcomes(people.close(member.token) for _ in range(50)))
    # A proof dies with the account: who was to be judged after the closing has none any more.
    assert results[DONE] == 1
    assert set(results) <= {DONE, "ACCOUNT_CLOSED", "OTP_NOT_VALID"}
    assert await people.events(member.id) == ["REGISTERED", "FIRST_LOGIN", "CLOSED"]


@pytest.mark.covers("I8 MemberService.CloseMe")
async def test_changes_amid_the_closing_leave_nothing_behind(people: People, platform: Platform) -> None:
    for round_ in range(10):
        member = await platform.member()
        calls: list[Awaitable[object]] = [
            people.update(member.token, full_name=f"Late {round_}", user_name=new_user_name()),
            people.consent(member.token, shares=True),
            people.close(member.token),
            people.update(member.token, email=new_email(), birthday="1990-01-01"),
            people.consent(member.token, shares=False),
            people.update(member.token, full_name="Later"),
        ]
        assert set(await outcomes(calls)) <= {DONE, "ACCOUNT_CLOSED", "OTP_NOT_VALID"}
        left = await people.rows(
            "identity",
            "SELECT full_name, birthday, consent_wording, consent_at, user_name, email, pending_email, phone,"
            " status"
            " FROM members JOIN accounts USING (id) WHERE id = %(id)s",
            id=member.id,
        )
        assert left == [("", None, None, None, None, None, None, None, "CLOSED")]


@pytest.mark.covers("I8 MemberService.CloseMe")
async def test_points_are_forfeited_and_the_ledger_stays(people: People, platform: Platform) -> None:
    member = await platform.member()
    await buy(platform, member, 70)
    await buy(platform, member, 50)
    await people.close(member.token)
    await eventually(lambda: people.assert_all_heard(member.id, "CLOSED"))
    ledger = await people.rows(
        "points",
        "SELECT kind, delta, balance_after FROM ledger_entries WHERE member_id = %(id)s ORDER BY sequence",
        id=member.id,
    )
    assert ledger == [("EARN", 70, 70), ("EARN", 50, 120), ("FORFEIT", -120, 0)]
    check_ledger(platform.postgres.url("points"))
    assert await reason(buy(platform, member)) == "MEMBER_CODE_UNKNOWN"


@pytest.mark.covers("I8 MemberService.CloseMe")
async def test_an_open_order_is_finished_though_its_member_left(people: People, platform: Platform) -> None:
    members = [await platform.member() for _ in range(10)]
    for member in members:
        await buy(platform, member)

    async def buy_and_leave(member: Member) -> None:
        await asyncio.gather(order(platform, member), people.close(member.token))

    await outcomes(buy_and_leave(member) for member in members)

    async def finished() -> None:
        for member in members:
            await people.assert_all_heard(member.id, "CLOSED")
            query = "SELECT id, state, price_points FROM orders WHERE member_id = %(id)s"
            for order_id, state, price in await people.rows("vouchers", query, id=member.id):
                debit = "SELECT state, points FROM debits WHERE order_id = %(id)s"
                debits = await people.rows("points", debit, id=order_id)
                assert state in ("COMPLETED", "FAILED")
                assert state == "FAILED" or debits == [("DEBITED", price)]
            query = "SELECT balance FROM accounts WHERE member_id = %(id)s"
            assert await people.rows("points", query, id=member.id) == [(0,)]

    await eventually(finished, seconds=20)
    check_ledger(platform.postgres.url("points"))


@pytest.mark.covers("I8 MemberService.CloseMe")
async def test_who_comes_back_wins_no_second_prize(people: People, platform: Platform) -> None:
    campaigns = campaign_pb2_grpc.CampaignServiceStub(platform.channels["promos"])
    request = campaign_pb2.CreateCampaignRequest(
        name="First logins",
        places=1_000,
        benefit=code_pb2.Benefit(percent_off=30),
        starts_at=timestamp(datetime.now(UTC) - timedelta(minutes=1)),
    )
    admin = bearer(await platform.admin(), idempotency_key=str(new_id()))
    campaign = (await campaigns.CreateCampaign(request, metadata=admin)).campaign

    async def prizes(member_id: object) -> list[str]:
        query = (
            "SELECT c.state FROM winners w JOIN codes c ON c.id = w.code_id"
            " WHERE w.member_id = %(id)s AND w.campaign_id = %(campaign)s"
        )
        rows = await people.rows("promos", query, id=UUID(str(member_id)), campaign=UUID(campaign.id))
        return [state for (state,) in rows]

    member, _ = await whole_member(people)
    await eventually(lambda: people.assert_all_heard(member.id))
    assert await prizes(member.id) == ["ASSIGNED"]
    await people.close(member.token)
    await eventually(lambda: people.assert_all_heard(member.id, "CLOSED"))
    assert await prizes(member.id) == ["VOID"]
    again = await people.register(otp=await people.prove(member.phone, REGISTER))
    await eventually(lambda: people.assert_all_heard(again.member.id))
    assert await prizes(again.member.id) == []


async def test_the_phone_is_known_again_only_by_a_keyed_hash(people: People, platform: Platform) -> None:
    member = await platform.member()
    await people.close(member.token)
    await eventually(lambda: people.assert_all_heard(member.id, "CLOSED"))
    kept = await people.rows(
        "promos", "SELECT phone_hash FROM known_phones WHERE member_id = %(id)s", id=member.id
    )
    assert [bytes(value) for (value,) in kept] == [platform.vault.hash_phone(member.phone)]


@pytest.mark.parametrize("closed", [True, False])
async def test_a_code_sent_to_the_number_says_nothing_of_an_account(
    people: People, platform: Platform, closed: bool
) -> None:
    member = await platform.member()
    if closed:
        await people.close(member.token)
    sent = await people.auth.SendOtp(auth_pb2.SendOtpRequest(phone=member.phone, purpose=LOG_IN))
    assert sent.otp_id
