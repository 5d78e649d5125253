"""What staff change of a campaign, whom it lets in, and where it is told to stand."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from scrip.common.v1 import money_pb2
from scrip.promos.v1 import campaign_pb2, code_pb2

from services.common.encoding import timestamp
from services.common.ids import new_id
from services.promos.campaigns.tests.test_campaigns import audit_of, violated_fields
from services.promos.tests.support import THIRTY_PERCENT, Promos, at_once, in_days
from tests.inprocess import bearer, eventually, reason, refusal

RUNNING, FULL = campaign_pb2.CAMPAIGN_STATE_RUNNING, campaign_pb2.CAMPAIGN_STATE_FULL
SCHEDULED, ENDED = campaign_pb2.CAMPAIGN_STATE_SCHEDULED, campaign_pb2.CAMPAIGN_STATE_ENDED
PAUSED = campaign_pb2.CAMPAIGN_STATE_PAUSED


@pytest.mark.covers("C3 CampaignService.UpdateCampaign")
async def test_what_is_given_changes_and_the_rest_stays(promos: Promos) -> None:
    made = await promos.campaign(starts_at=timestamp(in_days(1)), description="Before")
    wanted: dict[str, Any] = {
        "name": "First 7",
        "description": "30 % off\nfor the first 7",
        "places": 7,
        "starts_at": timestamp(in_days(2)),
        "ends_at": timestamp(in_days(3)),
        "rewards_expire_at": timestamp(in_days(30)),
        "rewards_valid_days": 14,
        "includes_members_without_phone": True,
    }
    expected, etag = made, made.etag
    for field, value in wanted.items():
        changed = await promos.update_campaign(made.id, etag=etag, **{field: value})
        assert changed.etag != etag
        etag = changed.etag
        expected.MergeFrom(campaign_pb2.Campaign(**{field: value}, etag=etag))
        expected.places_left = expected.places
        assert changed == expected
    assert await promos.get_campaign(made.id) == expected
    assert await promos.update_campaign(made.id, etag=etag, **wanted) == expected, "nothing is different"


@pytest.mark.covers("C3 CampaignService.UpdateCampaign")
async def test_what_is_named_is_emptied(promos: Promos) -> None:
    soon = timestamp(in_days(1))
    given: dict[str, Any] = {"description": "x", "ends_at": soon, "rewards_expire_at": soon}
    given["rewards_valid_days"] = 3
    made = await promos.campaign(**given)
    emptied = await promos.update_campaign(made.id, clear=list(given))
    assert emptied.description == ""
    assert not any(emptied.HasField(field) for field in list(given)[1:])  # type: ignore[arg-type]
    for field, value in given.items():
        call = promos.update_campaign(made.id, clear=[field], **{field: value})
        assert await violated_fields(call) == {"clear"}
    assert await reason(promos.update_campaign(made.id, clear=["name"])) == "VALIDATION_FAILED"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 121}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"description": ""}, "description"),
        ({"description": "x" * 2001}, "description"),
        ({"places": 0}, "places"),
        ({"places": -1}, "places"),
        ({"places": 1_000_001}, "places"),
        ({"rewards_valid_days": 0}, "rewards_valid_days"),
        ({"rewards_valid_days": 3651}, "rewards_valid_days"),
    ],
    ids=str,
)
async def test_bad_changes_are_refused_with_their_field(
    promos: Promos, fields: dict[str, Any], field: str
) -> None:
    made = await promos.campaign()
    assert await violated_fields(promos.update_campaign(made.id, **fields)) == {field}
    assert await promos.get_campaign(made.id) == made


@pytest.mark.parametrize("field", ["ends_at", "rewards_expire_at"])
@pytest.mark.parametrize("days", [-1, 1])
async def test_ends_in_the_past_or_before_the_beginning_are_refused(
    promos: Promos, field: str, days: int
) -> None:
    made = await promos.campaign(starts_at=timestamp(in_days(2)))
    changes: dict[str, Any] = {field: timestamp(in_days(days))}
    assert await violated_fields(promos.update_campaign(made.id, **changes)) == {field}
    assert await promos.get_campaign(made.id) == made


@pytest.mark.covers("C3 CampaignService.UpdateCampaign")
async def test_of_changes_by_the_same_etag_at_once_one_is_made(promos: Promos) -> None:
    made = await promos.campaign()
    replies, refusals = await at_once(
        promos.update_campaign(made.id, etag=made.etag, places=places) for places in range(200, 210)
    )
    assert refusals == {"ETAG_MISMATCH": 9}
    assert await promos.get_campaign(made.id) == replies[0]


@pytest.mark.covers("C3 CampaignService.UpdateCampaign")
async def test_places_are_raised_and_never_lowered_below_those_taken(promos: Promos) -> None:
    campaign = await promos.campaign(places=3)
    for _ in range(3):
        await promos.first_login()
    assert (await promos.get_campaign(campaign.id)).state == FULL
    lost = await promos.first_login()
    name, status, metadata = await refusal(promos.update_campaign(campaign.id, places=2))
    assert (name, status) == ("PLACES_TAKEN", grpc.StatusCode.FAILED_PRECONDITION)
    assert metadata == {"places_taken": "3"}
    raised = await promos.update_campaign(campaign.id, places=5)
    assert (raised.places_left, raised.state) == (2, RUNNING)
    won = await promos.first_login()
    lowered = await promos.update_campaign(campaign.id, places=4)
    assert (lowered.places_left, lowered.state) == (0, FULL)
    winners = await promos.winners(campaign.id)
    assert [winner.rank for winner in winners] == [1, 2, 3, 4]
    assert winners[3].member_id == str(won)
    assert str(lost) not in {winner.member_id for winner in winners}


async def test_places_lowered_amid_arrivals_are_never_fewer_than_winners(promos: Promos) -> None:
    campaign = await promos.campaign(places=200)

    async def lower() -> None:
        for places in range(60, 5, -5):
            _, refusals = await at_once([promos.update_campaign(campaign.id, places=places)])
            assert set(refusals) <= {"PLACES_TAKEN"}

    await asyncio.gather(lower(), *(promos.first_login() for _ in range(60)))
    now = await promos.get_campaign(campaign.id)
    ranks = [winner.rank for winner in await promos.winners(campaign.id)]
    assert ranks == list(range(1, now.places - now.places_left + 1))
    assert len(ranks) <= now.places
    await promos.assert_consistent()


@pytest.mark.covers("C3 CampaignService.UpdateCampaign")
async def test_the_beginning_moves_until_the_campaign_has_begun(promos: Promos) -> None:
    campaign = await promos.campaign(starts_at=timestamp(in_days(1)))
    assert campaign.state == SCHEDULED
    too_early = await promos.first_login()
    begun = await promos.update_campaign(campaign.id, starts_at=timestamp(in_days(-1)))
    assert begun.state == RUNNING
    winner = await promos.first_login()
    assert [one.member_id for one in await promos.winners(campaign.id)] == [str(winner)]
    assert await promos.rewards_of(too_early) == []
    name, status, metadata = await refusal(
        promos.update_campaign(campaign.id, starts_at=timestamp(in_days(1)))
    )
    assert (name, status) == ("CAMPAIGN_STARTED", grpc.StatusCode.FAILED_PRECONDITION)
    assert metadata == {"campaign_id": campaign.id}
    same = await promos.update_campaign(campaign.id, starts_at=begun.starts_at)
    assert (same.etag, same.starts_at) == (begun.etag, begun.starts_at)


@pytest.mark.covers("C3 CampaignService.UpdateCampaign")
async def test_a_window_that_is_over_opens_again_when_its_end_is_moved(promos: Promos) -> None:
    campaign = await promos.campaign(ends_at=timestamp(in_days(1)))
    over = "UPDATE campaigns SET starts_at = now() - interval '1 h', ends_at = now() WHERE id = %(id)s"
    await promos.execute(over, id=campaign.id)
    assert (await promos.get_campaign(campaign.id)).state == ENDED
    assert (await promos.pause(campaign.id)).state == ENDED
    await promos.resume(campaign.id)
    await promos.first_login()
    assert (await promos.update_campaign(campaign.id, ends_at=timestamp(in_days(1)))).state == RUNNING
    winner = await promos.first_login()
    assert [one.member_id for one in await promos.winners(campaign.id)] == [str(winner)]


@pytest.mark.covers("C3 CampaignService.UpdateCampaign")
async def test_of_a_campaign_that_was_ended_only_texts_and_expiry_change(promos: Promos) -> None:
    campaign = await promos.campaign()
    member = await promos.first_login()
    ended = await promos.end(campaign.id)
    for fields in (
        {"places": 500},
        {"ends_at": timestamp(in_days(1))},
        {"starts_at": timestamp(in_days(-1))},
        {"includes_members_without_phone": True},
        {"rewards_valid_days": 3},
    ):
        name, status, metadata = await refusal(promos.update_campaign(campaign.id, **fields))
        assert (name, status) == ("CAMPAIGN_ENDED", grpc.StatusCode.FAILED_PRECONDITION)
        assert metadata == {"campaign_id": campaign.id}
    assert await promos.get_campaign(campaign.id) == ended
    expiry = timestamp(in_days(9))
    changed = await promos.update_campaign(campaign.id, name="Over", rewards_expire_at=expiry)
    assert (changed.name, changed.state, changed.rewards_expire_at) == ("Over", ENDED, expiry)
    assert [one.expires_at for one in await promos.rewards_of(member)] == [expiry]


@pytest.mark.covers("C4 RewardService.ListMyRewards")
async def test_rewards_end_days_after_the_win_and_with_the_campaigns_rewards(promos: Promos) -> None:
    campaign = await promos.campaign(rewards_valid_days=2)
    assert campaign.rewards_valid_days == 2
    member = await promos.first_login()
    [first] = await promos.rewards_of(member)
    assert first.expires_at.seconds == first.won_at.seconds + 2 * 86_400
    token = await promos.platform.token("member", member)
    assert (await promos.verify(first.code, token)).expires_at == first.expires_at
    earlier = timestamp(in_days(1))
    await promos.update_campaign(campaign.id, rewards_expire_at=earlier, clear=["rewards_valid_days"])
    assert [one.expires_at for one in await promos.rewards_of(member)] == [earlier]
    await promos.update_campaign(campaign.id, rewards_expire_at=timestamp(in_days(9)))
    assert [one.expires_at for one in await promos.rewards_of(member)] == [first.expires_at]
    [later] = await promos.rewards_of(await promos.first_login())
    assert later.expires_at.seconds > first.expires_at.seconds


async def test_a_benefit_has_a_cap_and_conditions(promos: Promos) -> None:
    def money(minor: int) -> money_pb2.Money:
        return money_pb2.Money(currency_code="USD", amount_minor=minor)

    benefit = code_pb2.Benefit(
        percent_off=30, maximum_discount=money(1_000), minimum_spend=money(2_000), categories=["wine"]
    )
    campaign = await promos.campaign(benefit=benefit)
    assert (await promos.get_campaign(campaign.id)).benefit == benefit
    [reward] = await promos.rewards_of(await promos.first_login())
    assert reward.benefit == benefit
    no_cap = code_pb2.Benefit(amount_off=money(500), maximum_discount=money(100))
    assert await reason(promos.campaign(benefit=no_cap)) == "VALIDATION_FAILED"


@pytest.mark.covers("C3 CampaignService.UpdateCampaign")
async def test_members_without_a_phone_are_let_in_from_the_change_on(promos: Promos) -> None:
    campaign = await promos.campaign()
    await promos.first_login(phone_hash=b"")
    await promos.update_campaign(campaign.id, includes_members_without_phone=True)
    within = await promos.first_login(phone_hash=b"")
    await promos.update_campaign(campaign.id, includes_members_without_phone=False)
    await promos.first_login(phone_hash=b"")
    assert [winner.member_id for winner in await promos.winners(campaign.id)] == [str(within)]


@pytest.mark.covers("C3 CampaignService.ListCampaigns")
async def test_campaigns_are_listed_by_where_they_stand(promos: Promos) -> None:
    word = str(new_id())
    running = await promos.campaign(name=f"{word} running")
    full = await promos.campaign(name=f"{word} full", places=1)
    await promos.first_login()
    scheduled = await promos.campaign(name=f"{word} scheduled", starts_at=timestamp(in_days(1)))
    paused = await promos.campaign(name=f"{word} paused", starts_at=timestamp(in_days(1)))
    await promos.pause(paused.id)
    ended = await promos.campaign(name=f"{word} ended")
    await promos.end(ended.id)
    for state, campaign in (
        (RUNNING, running),
        (FULL, full),
        (SCHEDULED, scheduled),
        (PAUSED, paused),
        (ENDED, ended),
    ):
        found = (await promos.list_campaigns(query=word, state=state)).campaigns
        assert [(one.id, one.state) for one in found] == [(campaign.id, state)]


async def test_a_change_is_audited_with_what_it_was_and_is(promos: Promos) -> None:
    made = await promos.campaign(name="Before")
    await promos.update_campaign(made.id, name="After", places=7)
    await promos.update_campaign(made.id, name="After")

    async def arrived() -> None:
        _, *changes = await audit_of(promos, made.id)
        assert [entry.action for entry in changes] == ["campaign.updated"]
        assert MessageToDict(changes[0].details) == {"name": ["Before", "After"], "places": [100, 7]}

    await eventually(arrived, seconds=15)


@pytest.mark.covers("C3 CampaignService.UpdateCampaign", "C3 CampaignService.ExportWinners")
@pytest.mark.parametrize("role", ["member", "till", "cashier", "brand_manager"])
async def test_campaigns_are_changed_by_admins_and_managers_alone(promos: Promos, role: str) -> None:
    token = await promos.platform.token(role)
    campaign_id = str(new_id())
    assert await reason(promos.update_campaign(campaign_id, token, places=1)) == "ROLE_NOT_ALLOWED"
    assert await reason(promos.pause(campaign_id, token)) == "ROLE_NOT_ALLOWED"
    request = campaign_pb2.CreateCampaignRequest(name="x", places=1, benefit=THIRTY_PERCENT)
    call = promos.campaigns.CreateCampaign(request, metadata=bearer(token))
    assert await reason(call) == "ROLE_NOT_ALLOWED"
    file = promos.campaigns.ExportWinners(
        campaign_pb2.ExportWinnersRequest(campaign_id=campaign_id), metadata=bearer(token)
    )
    assert await reason(anext(aiter(file))) == "ROLE_NOT_ALLOWED"
    assert await reason(promos.update_campaign(campaign_id, places=1)) == "CAMPAIGN_NOT_FOUND"
