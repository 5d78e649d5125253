"""What cashiers see of members, and what they can find them by."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

import pytest
from scrip.identity.v1 import member_pb2

from services.common.ids import new_id
from services.identity.members.masking import mask_email, mask_member, mask_name, mask_phone
from services.identity.members.queries import MemberRow
from services.identity.tests.people import CONFIRM_EMAIL, People, new_email, new_user_name
from tests.inprocess import Member, Platform, refused_status


@pytest.mark.parametrize(
    ("full_name", "shown"),
    [
        ("Grace Hopper", "Grace H."),
        ("Grace Brewster Murray Hopper", "Grace H."),
        ("  grace   hopper ", "grace h."),
        ("Hopper", "H…"),
        ("山田太郎", "山…"),
        ("Zoë Ångström", "Zoë Å."),
        ("Zoe A\u030angstrom", "Zoe A\u030a."),
        ("", ""),
    ],
)
def test_of_a_name_the_first_word_and_an_initial_are_shown(full_name: str, shown: str) -> None:
    assert mask_name(full_name) == shown


@pytest.mark.parametrize(
    ("phone", "shown"),
    [
        ("+14155550100", "+1…0100"),
        ("+4915112345678", "+49…5678"),
        ("+29051234", "+290…4"),
        ("+8613812345678", "+86…5678"),
        (None, ""),
    ],
)
def test_of_a_number_four_digits_at_most_are_shown_and_four_are_hidden(phone: str | None, shown: str) -> None:
    assert mask_phone(phone) == shown


@pytest.mark.parametrize(
    ("email", "shown"),
    [("grace@example.com", "g…@example.com"), ("g@example.com", "g…@example.com"), (None, "")],
)
def test_of_an_address_the_first_character_and_the_domain_are_shown(email: str | None, shown: str) -> None:
    assert mask_email(email) == shown


def test_nothing_else_of_a_member_is_in_what_is_masked() -> None:
    row = MemberRow(
        id=UUID(int=1),
        full_name="Grace Hopper",
        phone="+14155550100",
        registered_at=datetime(2026, 1, 1),  # noqa: DTZ001  # not shown
        user_name="amazing",
        email="grace@example.com",
        email_confirmed=True,
        pending_email="grace.hopper@example.com",
        birthday=date(1906, 12, 9),
        has_password=True,
        shares_contact=True,
        consent_wording="1",
        consent_at=None,
        status="ACTIVE",
        version=1,
    )
    shown = str(mask_member(row))
    for secret in ("Hopper", "555", "amazing", "race@", "1906"):
        assert secret not in shown


@pytest.fixture
async def cashier(platform: Platform) -> str:
    return await platform.token("cashier")


@pytest.fixture
async def member(people: People, platform: Platform) -> Member:
    """A member of whom all is known."""
    made = await platform.member("Grace Hopper")
    email = new_email()
    await people.update(made.token, user_name=new_user_name(), email=email, birthday="1990-12-09")
    await people.confirm_email(made.token, await people.prove(email, CONFIRM_EMAIL))
    await people.consent(made.token, shares=True)
    return made


@pytest.mark.covers("I8 MemberAdminService.GetMember", "I8 MemberAdminService.ListMembers")
async def test_a_cashier_sees_a_member_masked_wherever_it_looks(
    people: People, platform: Platform, cashier: str, member: Member
) -> None:
    whole = await people.get(member.id, await platform.token("manager"))
    expected = member_pb2.Member(
        id=str(member.id),
        full_name="Grace H.",
        phone=f"+1…{member.phone[-4:]}",
        email=f"{whole.email[0]}…@example.com",
        registered_at=whole.registered_at,
        state=member_pb2.MEMBER_STATE_ACTIVE,
        masked=True,
    )
    assert await people.get(member.id, cashier) == expected
    national = f"({member.phone[2:5]}) {member.phone[5:8]}-{member.phone[8:]}"
    for query in (member.phone, national, whole.email.upper(), member.code, f" {member.code.lower()} "):
        assert list((await people.search(cashier, query=query)).members) == [expected], query


@pytest.mark.covers("I8 MemberAdminService.ListMembers")
async def test_a_cashier_finds_nobody_by_a_fragment_or_a_name(
    people: People, platform: Platform, cashier: str, member: Member
) -> None:
    """Searching letter by letter would tell what is masked."""
    whole = await people.get(member.id, await platform.token("manager"))
    for query in (
        member.phone[:-1],
        member.phone[1:6],
        whole.email[:-1],
        whole.email.partition("@")[0],
        member.code[:-1],
        "Grace",
        "Grace Hopper",
        whole.user_name,
        "%",
        whole.email.replace("@", "_"),
    ):
        reply = await people.search(cashier, query=query, with_total=True)
        assert (list(reply.members), reply.total.count) == ([], 0), query


@pytest.mark.parametrize("fields", [{}, {"query": " "}, {"order_by": "full_name"}, {"with_total": True}])
async def test_a_cashier_gets_no_list_of_members(
    people: People, cashier: str, fields: dict[str, Any]
) -> None:
    status, _ = await refused_status(people.search(cashier, **fields))
    assert status.message == "query: must be a whole phone number, e-mail address or member code"


async def test_managers_and_admins_see_all(people: People, platform: Platform, member: Member) -> None:
    for role in ("manager", "admin"):
        shown = await people.get(member.id, await platform.token(role, new_id()))
        assert (shown.full_name, shown.phone, shown.masked) == ("Grace Hopper", member.phone, False)
        assert shown.birthday
        assert shown.user_name
