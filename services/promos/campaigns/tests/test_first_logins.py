"""The first N members to log in get a place each, in the order of their arrival."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from uuid import UUID

import grpc
import pytest
from scrip.promos.v1 import campaign_pb2, reward_pb2

from services.common.db import Connection, execute
from services.common.encoding import timestamp
from services.common.errors import DomainError
from services.common.ids import new_id
from services.common.member_events import apply_member_event
from services.common.members import FirstLogin
from services.promos.campaigns.first_logins import _take_place, on_member_event
from services.promos.codes import random_codes
from services.promos.tests.support import FIRST_LOGIN, REGISTERED, THIRTY_PERCENT, Promos, in_days
from tests.inprocess import Member, Platform, bearer, eventually, reason, refusal

USABLE, USED = reward_pb2.REWARD_STATE_USABLE, reward_pb2.REWARD_STATE_USED
EXPIRED, VOID = reward_pb2.REWARD_STATE_EXPIRED, reward_pb2.REWARD_STATE_VOID


def arrival(member: UUID | None = None) -> FirstLogin:
    """Returns the first login of a member with a phone number."""
    phone = secrets.token_bytes(32)
    return FirstLogin(new_id(), member or new_id(), 2, in_days(0), phone, shares_contact=False)


async def test_a_member_who_logs_in_wins_a_place_and_a_code_that_works(promos: Promos) -> None:
    expiry = timestamp(in_days(30))
    campaign = await promos.campaign(places=2, rewards_expire_at=expiry)
    logged_in_at = in_days(1e-5)
    member = await promos.first_login(at=logged_in_at)
    [reward] = await promos.rewards_of(member)
    assert (reward.campaign_id, reward.name, reward.rank) == (campaign.id, campaign.name, 1)
    assert (reward.benefit, reward.state, reward.expires_at) == (THIRTY_PERCENT, USABLE, expiry)
    [winner] = await promos.winners(campaign.id)
    assert (winner.rank, winner.member_id) == (1, str(member))
    assert winner.logged_in_at == timestamp(logged_in_at)
    assert (await promos.get_campaign(campaign.id)).places_left == 1
    token = await promos.platform.token("member", member)
    usable = await promos.verify(reward.code, token)
    assert (usable.code_id, usable.benefit, usable.expires_at) == (reward.code_id, THIRTY_PERCENT, expiry)
    redemption = await promos.redeem(reward.code, "R-1")
    assert [p.state for p in await promos.rewards_of(member)] == [USED]
    await promos.cancel(redemption.id)
    assert [p.state for p in await promos.rewards_of(member)] == [USABLE]


@pytest.mark.covers("C4 RewardService.ListMyRewards")
async def test_a_registration_reaches_the_campaign_within_two_seconds(
    promos: Promos, platform: Platform
) -> None:
    campaign = await promos.campaign(places=1)
    member: Member = await platform.member()

    async def won() -> None:
        assert [p.campaign_id for p in await promos.rewards_of(member.id)] == [campaign.id]

    await eventually(won, seconds=2)


@pytest.mark.covers("C3 MemberEventsService.Apply")
async def test_of_150_first_logins_at_once_exactly_100_win_ranks_1_to_100(promos: Promos) -> None:
    campaign = await promos.campaign(places=100)
    members = [new_id() for _ in range(150)]
    async with promos.another_process() as second, promos.another_process() as third:
        processes = (promos, second, third)
        await asyncio.gather(*(processes[i % 3].first_login(member) for i, member in enumerate(members)))
    winners = await promos.winners(campaign.id)
    assert [winner.rank for winner in winners] == list(range(1, 101))
    assert len({winner.member_id for winner in winners} & {str(member) for member in members}) == 100
    assert (await promos.get_campaign(campaign.id)).places_left == 0


async def test_first_logins_straight_on_the_database_win_each_place_once(promos: Promos) -> None:
    campaign = await promos.campaign(places=20)

    async def arrive() -> None:
        event = arrival()
        await promos.db.run(apply_member_event, event, [on_member_event])

    await asyncio.gather(*(arrive() for _ in range(30)))
    assert [winner.rank for winner in await promos.winners(campaign.id)] == list(range(1, 21))


async def test_fewer_arrivals_than_places_all_win_in_the_order_of_arrival(promos: Promos) -> None:
    campaign = await promos.campaign(places=100)
    members = [await promos.first_login() for _ in range(7)]
    assert [winner.member_id for winner in await promos.winners(campaign.id)] == [str(m) for m in members]


async def test_one_event_sent_fifty_times_at_once_wins_one_place(promos: Promos) -> None:
    campaign = await promos.campaign(places=10)
    member = new_id()
    await asyncio.gather(*(promos.first_login(member) for _ in range(50)))
    assert [winner.member_id for winner in await promos.winners(campaign.id)] == [str(member)]


@pytest.mark.covers("I7 MemberEventsService.Apply")
async def test_older_and_repeated_events_change_nothing(promos: Promos) -> None:
    campaign = await promos.campaign(places=10)
    member = new_id()
    await promos.apply(member, version=3, event=REGISTERED)
    await promos.first_login(member)  # late, and yet the first of all
    won = await promos.winners(campaign.id)
    assert [winner.member_id for winner in won] == [str(member)]
    for version, event in ((2, FIRST_LOGIN), (3, FIRST_LOGIN), (4, FIRST_LOGIN), (1, REGISTERED)):
        await promos.apply(member, version=version, event=event)
    assert await promos.value("SELECT version FROM members WHERE member_id = %(id)s", id=member) == 4
    assert await promos.winners(campaign.id) == won


async def test_only_a_members_first_login_ever_counts(promos: Promos) -> None:
    member = await promos.first_login()
    campaign = await promos.campaign(places=10)
    await promos.apply(member, version=3, event=FIRST_LOGIN)
    assert await promos.winners(campaign.id) == []


async def test_registering_alone_wins_nothing(promos: Promos) -> None:
    campaign = await promos.campaign(places=10)
    await promos.apply(new_id(), version=1, event=REGISTERED)
    assert await promos.winners(campaign.id) == []


@pytest.mark.covers("C3 MemberEventsService.Apply")
async def test_the_window_is_judged_by_the_time_of_login_to_the_microsecond(promos: Promos) -> None:
    start, end = in_days(-2), in_days(2)
    campaign = await promos.campaign(starts_at=timestamp(start), ends_at=timestamp(end))
    tick = timedelta(microseconds=1)
    cases: list[tuple[datetime, bool]] = [
        (start - tick, False),
        (start, True),
        (end - tick, True),
        (end, False),
    ]
    inside = [str(await promos.first_login(at=at)) for at, wins in cases if wins]
    for at, wins in cases:
        if not wins:
            await promos.first_login(at=at)
    assert [winner.member_id for winner in await promos.winners(campaign.id)] == inside


@pytest.mark.covers("C3 CampaignService.PauseCampaign")
async def test_pausing_resuming_and_ending_decide_who_gets_a_place(promos: Promos) -> None:
    campaign = await promos.campaign(places=10)
    before = await promos.first_login()
    await promos.pause(campaign.id)
    during = await promos.first_login()
    await promos.resume(campaign.id)
    after = await promos.first_login()
    await promos.apply(during, version=3, event=FIRST_LOGIN)
    await promos.end(campaign.id)
    await promos.first_login()
    assert [winner.member_id for winner in await promos.winners(campaign.id)] == [str(before), str(after)]
    assert len(await promos.rewards_of(before)) == 1


@pytest.mark.parametrize("stop", [Promos.pause, Promos.end])
async def test_what_stops_a_campaign_amid_arrivals_leaves_no_gap_and_lets_nobody_in_afterwards(
    promos: Promos, stop: Callable[[Promos, str], Awaitable[campaign_pb2.Campaign]]
) -> None:
    campaign = await promos.campaign(places=100_000)
    stopped = asyncio.Event()

    async def keep_arriving() -> None:
        while not stopped.is_set():
            await promos.first_login()
        await promos.first_login()

    async def stop_amid() -> int:
        async def some_came() -> None:
            assert (await promos.get_campaign(campaign.id)).places_left < campaign.places - 20

        await eventually(some_came, seconds=20)
        left = (await stop(promos, campaign.id)).places_left
        stopped.set()
        return campaign.places - left

    taken, *_ = await asyncio.gather(stop_amid(), *(keep_arriving() for _ in range(16)))
    winners = await promos.winners(campaign.id)
    assert [winner.rank for winner in winners] == list(range(1, (taken or 0) + 1))
    assert len(winners) > 20


@pytest.mark.covers("C3 MemberEventsService.Apply")
async def test_a_full_campaign_is_not_touched_by_later_logins(promos: Promos) -> None:
    campaign = await promos.campaign(places=1)
    await promos.first_login()

    async def hold(connection: Connection) -> None:
        await execute(connection, "SELECT 1 FROM campaigns WHERE id = %(id)s FOR UPDATE", id=campaign.id)
        await asyncio.wait_for(promos.first_login(), 2)

    await promos.db.run(hold)
    assert len(await promos.winners(campaign.id)) == 1


async def test_a_place_that_was_gone_after_all_leaves_no_code_behind(promos: Promos) -> None:
    campaign = await promos.campaign(places=1)
    await promos.first_login()
    await promos.db.run(_take_place, UUID(campaign.id), arrival())
    codes = "SELECT count(*) FROM codes WHERE code_set_id = %(id)s"
    assert await promos.value(codes, id=campaign.id) == 1
    assert [winner.rank for winner in await promos.winners(campaign.id)] == [1]


@pytest.mark.covers("C4 RewardService.ListMyRewards")
async def test_a_login_may_win_in_several_campaigns_and_rewards_come_newest_first(promos: Promos) -> None:
    campaigns = [await promos.campaign(name=f"c{number}") for number in range(3)]
    member = await promos.first_login()
    won = await promos.rewards_of(member)
    assert {p.campaign_id for p in won} == {campaign.id for campaign in campaigns}
    token = await promos.platform.token("member", member)
    paged: list[reward_pb2.Reward] = []
    page_token = ""
    for _ in range(3):
        request = reward_pb2.ListMyRewardsRequest(page_size=1, page_token=page_token)
        reply = await promos.rewards.ListMyRewards(request, metadata=bearer(token))
        paged += reply.rewards
        page_token = reply.next_page_token
    assert page_token == ""
    assert paged == won
    assert await promos.rewards_of(new_id()) == []


@pytest.mark.covers("C4 RewardService.GetMyReward", "C4 RewardService.ListMyRewards")
async def test_a_reward_has_an_id_and_a_state_of_its_own(promos: Promos) -> None:
    campaigns = [await promos.campaign() for _ in range(4)]
    member = await promos.first_login()
    won = {reward.campaign_id: reward for reward in await promos.rewards_of(member)}
    usable, used, expired, void = (won[campaign.id] for campaign in campaigns)
    await promos.redeem(used.code, "R-1")
    for reward, change in (
        (expired, "UPDATE codes SET expires_at = now() WHERE id = %(id)s"),
        (void, "UPDATE codes SET state = 'VOID' WHERE id = %(id)s"),
    ):
        await promos.execute(change, id=reward.code_id)
    states = {usable.id: USABLE, used.id: USED, expired.id: EXPIRED, void.id: VOID}
    assert {reward.id: reward.state for reward in await promos.rewards_of(member)} == states
    token = bearer(await promos.platform.token("member", member))
    for reward_id, state in states.items():
        [listed] = await promos.rewards_of(member, state)
        read = await promos.rewards.GetMyReward(
            reward_pb2.GetMyRewardRequest(reward_id=reward_id), metadata=token
        )
        assert read.reward == listed
        assert (listed.id, listed.state) == (reward_id, state)


async def test_another_members_reward_is_not_found(promos: Promos) -> None:
    await promos.campaign()
    [theirs] = await promos.rewards_of(await promos.first_login())
    stranger = bearer(await promos.platform.token("member"))
    for reward_id in (theirs.id, str(new_id())):
        request = reward_pb2.GetMyRewardRequest(reward_id=reward_id)
        name, status, metadata = await refusal(promos.rewards.GetMyReward(request, metadata=stranger))
        assert (name, status) == ("REWARD_NOT_FOUND", grpc.StatusCode.NOT_FOUND)
        assert metadata == {"reward_id": reward_id}


@pytest.mark.covers("C3 CampaignService.ListWinners")
async def test_winners_are_paged_by_rank(promos: Promos) -> None:
    campaign = await promos.campaign(places=7)
    await asyncio.gather(*(promos.first_login() for _ in range(7)))
    ranks, token = [], ""
    for expected in (3, 3, 1):
        request = campaign_pb2.ListWinnersRequest(campaign_id=campaign.id, page_size=3, page_token=token)
        reply = await promos.campaigns.ListWinners(request, metadata=bearer(promos.admin))
        assert len(reply.winners) == expected
        ranks += [winner.rank for winner in reply.winners]
        token = reply.next_page_token
    assert (ranks, token) == ([1, 2, 3, 4, 5, 6, 7], "")
    other = await promos.campaign()
    request = campaign_pb2.ListWinnersRequest(campaign_id=campaign.id, page_size=3)
    foreign = (await promos.campaigns.ListWinners(request, metadata=bearer(promos.admin))).next_page_token
    request = campaign_pb2.ListWinnersRequest(campaign_id=other.id, page_token=foreign)
    call = promos.campaigns.ListWinners(request, metadata=bearer(promos.admin))
    assert await reason(call) == "PAGE_TOKEN_NOT_VALID"


async def test_a_winners_code_that_exists_already_is_thrown_away_and_another_is_made(
    promos: Promos, monkeypatch: pytest.MonkeyPatch
) -> None:
    existing = await promos.assigned_code()
    drawn = iter([existing.code, existing.code, random_codes.new_code()])
    monkeypatch.setattr(random_codes, "new_code", lambda: next(drawn))
    campaign = await promos.campaign()
    member = await promos.first_login()
    [reward] = await promos.rewards_of(member)
    assert (reward.campaign_id, reward.rank) == (campaign.id, 1)
    assert reward.code != existing.code


async def test_a_win_that_can_not_be_completed_keeps_nothing_and_comes_again(
    promos: Promos, monkeypatch: pytest.MonkeyPatch
) -> None:
    existing = await promos.assigned_code()
    monkeypatch.setattr(random_codes, "new_code", lambda: existing.code)
    campaign = await promos.campaign()
    member: UUID = new_id()
    event = arrival(member)
    with pytest.raises(DomainError, match="OVERLOADED"):
        await promos.db.run(apply_member_event, event, [on_member_event])
    assert (await promos.get_campaign(campaign.id)).places_left == campaign.places
    monkeypatch.undo()
    await promos.first_login(member)
    assert [winner.rank for winner in await promos.winners(campaign.id)] == [1]
