"""A person wins once, under whatever account, and loses what was not used by leaving."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from uuid import UUID

import grpc
import pytest
from scrip.common.internal.v1 import member_events_pb2

from services.common.errors import DomainError
from services.common.ids import new_id
from services.common.member_events import apply_member_event
from services.common.members import FirstLogin
from services.promos.campaigns.first_logins import on_member_event
from services.promos.codes import random_codes
from services.promos.tests.support import (
    CLOSED,
    FIRST_LOGIN,
    PHONE_CHANGED,
    REGISTERED,
    Promos,
    in_days,
)
from tests.inprocess import reason

SUSPENDED = member_events_pb2.MEMBER_EVENT_TYPE_SUSPENDED
RESTORED = member_events_pb2.MEMBER_EVENT_TYPE_RESTORED


def new_hash() -> bytes:
    """Returns the hash of a phone number that nobody has had yet."""
    return secrets.token_bytes(32)


async def winners(promos: Promos, campaign_id: str) -> Sequence[tuple[int, str]]:
    """Rank and member of each place that is taken."""
    return [(winner.rank, winner.member_id) for winner in await promos.winners(campaign_id)]


async def test_the_same_phone_under_another_account_wins_nothing_and_leaves_no_gap(promos: Promos) -> None:
    campaign, phone = await promos.campaign(places=10), new_hash()
    first = await promos.first_login(phone_hash=phone)
    await promos.first_login(phone_hash=phone)
    third = await promos.first_login(phone_hash=new_hash())
    assert await winners(promos, campaign.id) == [(1, str(first)), (2, str(third))]
    assert (await promos.get_campaign(campaign.id)).places_left == 8
    await promos.assert_consistent()


async def test_of_fifty_accounts_of_one_phone_at_once_one_wins(promos: Promos) -> None:
    campaign, phone = await promos.campaign(places=100), new_hash()
    async with promos.another_process() as second:
        await asyncio.gather(
            *((promos, second)[number % 2].first_login(phone_hash=phone) for number in range(50))
        )
    assert [rank for rank, _ in await winners(promos, campaign.id)] == [1]


async def test_one_who_had_a_first_login_before_the_campaign_is_no_newcomer(promos: Promos) -> None:
    phone = new_hash()
    await promos.first_login(phone_hash=phone)
    campaign = await promos.campaign(places=10)
    await promos.first_login(phone_hash=phone)
    assert await winners(promos, campaign.id) == []


async def test_accounts_without_a_phone_number_are_told_apart_by_their_id(promos: Promos) -> None:
    campaign = await promos.campaign(places=10)
    members = [str(await promos.first_login()) for _ in range(3)]
    assert [member for _, member in await winners(promos, campaign.id)] == members


async def test_registering_alone_is_no_first_login(promos: Promos) -> None:
    campaign, phone = await promos.campaign(places=10), new_hash()
    await promos.apply(new_id(), version=1, event=REGISTERED, phone_hash=phone)
    other = await promos.first_login(phone_hash=phone)
    assert await winners(promos, campaign.id) == [(1, str(other))]


async def test_a_member_wins_though_registering_told_the_same_phone(promos: Promos) -> None:
    campaign, phone, member = await promos.campaign(places=10), new_hash(), new_id()
    await promos.apply(member, version=1, event=REGISTERED, phone_hash=phone)
    await promos.apply(member, version=2, event=FIRST_LOGIN, phone_hash=phone)
    assert await winners(promos, campaign.id) == [(1, str(member))]


@pytest.mark.parametrize("event", [PHONE_CHANGED, CLOSED])
async def test_a_number_taken_later_is_known_too(
    promos: Promos, event: member_events_pb2.MemberEventType.ValueType
) -> None:
    campaign, phone = await promos.campaign(places=10), new_hash()
    member = await promos.first_login()
    await promos.apply(member, version=3, event=event, phone_hash=phone)
    await promos.first_login(phone_hash=phone)
    assert await winners(promos, campaign.id) == [(1, str(member))]


async def test_a_win_that_fails_leaves_the_phone_unknown(
    promos: Promos, monkeypatch: pytest.MonkeyPatch
) -> None:
    existing = await promos.assigned_code()
    monkeypatch.setattr(random_codes, "new_code", lambda: existing.code)
    campaign, phone, member = await promos.campaign(), new_hash(), new_id()
    event = FirstLogin(new_id(), member, 2, in_days(0), phone, shares_contact=False)
    with pytest.raises(DomainError, match="OVERLOADED"):
        await promos.db.run(apply_member_event, event, [on_member_event])
    monkeypatch.undo()
    await promos.first_login(member, phone_hash=phone)
    assert await winners(promos, campaign.id) == [(1, str(member))]


async def test_leaving_takes_back_what_was_won_and_not_used(promos: Promos) -> None:
    used_up, unused = await promos.campaign(places=5), await promos.campaign(places=5)
    member = await promos.first_login()
    won = {reward.campaign_id: reward for reward in await promos.rewards_of(member)}
    bought = await promos.assigned_code(owner=member)
    redemption = await promos.redeem(won[used_up.id].code, "R-1")
    await promos.apply(member, version=3, event=CLOSED)
    assert await reason(promos.verify(won[unused.id].code)) == "CODE_VOID"
    assert await reason(promos.redeem(won[unused.id].code, "R-2")) == "CODE_VOID"
    assert await reason(promos.verify(won[used_up.id].code)) == "CODE_ALREADY_USED"
    assert (await promos.redeem(won[used_up.id].code, "R-1")).id == redemption.id
    assert await reason(promos.redeem(bought.code, "R-3")) == "CODE_ON_HOLD", "it is kept, and not usable"
    for campaign in (used_up, unused):
        assert (await promos.get_campaign(campaign.id)).places_left == 4, "the place was won all the same"
    await promos.assert_consistent()


async def test_redeeming_and_leaving_at_once_end_one_way_or_the_other(promos: Promos) -> None:
    await promos.campaign(places=100)
    for number in range(20):
        member = await promos.first_login()
        code = (await promos.rewards_of(member))[0].code
        results = await asyncio.gather(
            promos.redeem(code, f"race-{number}"),
            promos.apply(member, version=3, event=CLOSED),
            return_exceptions=True,
        )
        redeemed = not isinstance(results[0], grpc.aio.AioRpcError)
        assert await reason(promos.verify(code)) == ("CODE_ALREADY_USED" if redeemed else "CODE_VOID")
        assert results[1] is None
    await promos.assert_consistent()


async def status_of(promos: Promos, member: UUID) -> str:
    return str(await promos.value("SELECT status FROM members WHERE member_id = %(id)s", id=member))


async def test_where_a_member_stands_follows_the_events_in_order(promos: Promos) -> None:
    member = await promos.first_login()
    for version, event, status in (
        (4, SUSPENDED, "SUSPENDED"),
        (3, CLOSED, "SUSPENDED"),
        (4, RESTORED, "SUSPENDED"),
        (5, PHONE_CHANGED, "SUSPENDED"),
        (6, RESTORED, "ACTIVE"),
        (7, CLOSED, "CLOSED"),
        (8, RESTORED, "CLOSED"),
    ):
        await promos.apply(member, version=version, event=event)
        assert await status_of(promos, member) == status
