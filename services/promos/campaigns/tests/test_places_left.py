"""What everybody sees of campaigns, and the places left as they go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from scrip.promos.v1 import campaign_pb2

from services.common import server_sent_events
from services.common.channels import open_channel
from services.common.encoding import timestamp
from services.common.ids import new_id
from services.common.server import RunningService
from services.promos.server import compose
from services.promos.tests.support import THIRTY_PERCENT, Promos, in_days
from tests.inprocess import bearer, eventually, reason, refusal

DRAIN_SECONDS = 60.0


def watch(promos: Promos, campaign_id: str, token: str) -> Any:
    """Returns the stream of the places left of a campaign."""
    request = campaign_pb2.WatchPlacesRequest(campaign_id=campaign_id)
    return promos.campaigns.WatchPlaces(request, metadata=bearer(token), wait_for_ready=True)


async def left(updates: AsyncIterator[campaign_pb2.WatchPlacesResponse]) -> int:
    """Returns the next number of places."""
    return (await anext(updates)).places_left


@pytest.mark.covers("C3 CampaignService.ListRunningCampaigns")
async def test_everybody_sees_the_campaigns_that_give_places_the_newest_first(promos: Promos) -> None:
    end = timestamp(in_days(1))
    first = await promos.campaign(description="30 % off", ends_at=end, rewards_valid_days=7)
    second = await promos.campaign(places=2)
    scheduled = await promos.campaign(starts_at=timestamp(in_days(1)))
    ended = await promos.end((await promos.campaign()).id)
    paused = await promos.pause((await promos.campaign()).id)
    full = await promos.campaign(places=1)
    await promos.first_login()
    reply = await promos.campaigns.ListRunningCampaigns(
        campaign_pb2.ListRunningCampaignsRequest(page_size=200)
    )
    ids = [one.campaign_id for one in reply.campaigns]
    assert ids[:2] == [second.id, first.id]
    assert not {full.id, scheduled.id, ended.id, paused.id} & set(ids)
    assert reply.campaigns[1] == campaign_pb2.RunningCampaign(
        campaign_id=first.id,
        name=first.name,
        description="30 % off",
        benefit=THIRTY_PERCENT,
        places=100,
        places_left=99,
        starts_at=first.starts_at,
        ends_at=end,
        rewards_valid_days=7,
    )


@pytest.mark.covers("C3 CampaignService.WatchPlaces")
async def test_a_watcher_sees_the_places_now_and_at_each_change_to_the_last(promos: Promos) -> None:
    campaign = await promos.campaign(places=3)
    updates = aiter(watch(promos, campaign.id, await promos.platform.token("member")))
    assert await left(updates) == 3
    await promos.first_login()
    assert await left(updates) == 2
    await promos.update_campaign(campaign.id, places=9)
    assert await left(updates) == 8
    await promos.update_campaign(campaign.id, places=2)
    assert await left(updates) == 1
    await promos.first_login()
    assert await left(updates) == 0
    assert await anext(updates, None) is None, "there is nothing to watch any more"
    assert [one.places_left async for one in watch(promos, campaign.id, promos.admin)] == [0]


@pytest.mark.covers("C3 CampaignService.WatchPlacesEvents")
async def test_events_have_ids_and_silence_has_a_heartbeat_until_the_last_place(
    promos: Promos, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_sent_events, "HEARTBEAT_SECONDS", 0.2)
    campaign = await promos.campaign(places=2)
    request = campaign_pb2.WatchPlacesEventsRequest(campaign_id=campaign.id)
    stream = aiter(promos.campaigns.WatchPlacesEvents(request, metadata=bearer(promos.admin)))
    pieces = [(await anext(stream)).data.decode() for _ in range(3)]
    assert (pieces[0], pieces[2]) == ("retry: 2000\n\n", ": still here\n\n")
    event_id, _, data = pieces[1].partition("\n")
    assert int(event_id.removeprefix("id: ")) > 1_700_000_000_000
    assert data == 'data: {"places_left":2}\n\n'
    await promos.update_campaign(campaign.id, places=1)
    await promos.first_login()
    rest = [piece.data async for piece in stream]
    assert rest[-1].endswith(b'data: {"places_left":0}\n\n')
    unknown = campaign_pb2.WatchPlacesEventsRequest(campaign_id=str(new_id()))

    async def first() -> object:
        return await anext(aiter(promos.campaigns.WatchPlacesEvents(unknown, metadata=bearer(promos.admin))))

    assert await reason(first()) == "CAMPAIGN_NOT_FOUND"


@pytest.mark.covers("C3 CampaignService.WatchPlaces")
@pytest.mark.parametrize("stop", [Promos.pause, Promos.end])
async def test_a_stream_ends_when_the_campaign_gives_no_places(promos: Promos, stop: Any) -> None:
    campaign = await promos.campaign()
    token = await promos.platform.token("cashier")
    updates = aiter(watch(promos, campaign.id, token))
    assert await left(updates) == 100
    await stop(promos, campaign.id)
    assert await anext(updates, None) is None

    async def again() -> object:
        return await anext(aiter(watch(promos, campaign.id, token)))

    assert await reason(again()) == "CAMPAIGN_NOT_FOUND"


@pytest.mark.covers("C3 CampaignService.WatchPlaces")
async def test_a_campaign_that_is_not_there_or_has_not_begun_is_not_watched(promos: Promos) -> None:
    scheduled = await promos.campaign(starts_at=timestamp(in_days(1)))
    for campaign_id in (scheduled.id, str(new_id())):
        updates = aiter(watch(promos, campaign_id, promos.admin))
        name, status, metadata = await refusal(left(updates))
        assert (name, status) == ("CAMPAIGN_NOT_FOUND", grpc.StatusCode.NOT_FOUND)
        assert metadata == {"campaign_id": campaign_id}


@pytest.mark.covers("C3 CampaignService.WatchPlaces")
async def test_watching_needs_a_login_and_is_not_for_tills(promos: Promos) -> None:
    campaign = await promos.campaign()
    request = campaign_pb2.WatchPlacesRequest(campaign_id=campaign.id)
    assert await reason(left(aiter(promos.campaigns.WatchPlaces(request)))) == "TOKEN_MISSING"
    for token in (promos.till, await promos.platform.token("brand_manager")):
        assert await reason(left(aiter(watch(promos, campaign.id, token)))) == "ROLE_NOT_ALLOWED"


@pytest.mark.covers("C3 CampaignService.WatchPlaces")
async def test_one_watcher_too_many_is_refused_and_room_comes_back(promos: Promos) -> None:
    campaign = await promos.campaign()
    async with promos.another_process(max_watchers=2) as small:
        streams = [watch(small, campaign.id, promos.admin) for _ in range(2)]
        for stream in streams:
            assert await left(aiter(stream)) == 100
        name, status, _ = await refusal(left(aiter(watch(small, campaign.id, promos.admin))))
        assert (name, status) == ("TOO_MANY_WATCHERS", grpc.StatusCode.RESOURCE_EXHAUSTED)
        streams[0].cancel()

        async def room() -> None:
            assert await left(aiter(watch(small, campaign.id, promos.admin))) == 100

        await eventually(room)
        streams[1].cancel()


@pytest.mark.covers("C3 CampaignService.WatchPlaces")
async def test_open_streams_end_at_once_when_the_service_stops(promos: Promos) -> None:
    campaign = await promos.campaign()
    changes = {"listen": "127.0.0.1:0", "drain_seconds": DRAIN_SECONDS}
    settings = promos.platform.settings["promos"].model_copy(update=changes)
    async with compose(settings) as service:
        running = RunningService(service, settings)
        channel = open_channel(f"ipv4:127.0.0.1:{await running.start()}")
        try:
            other = Promos(promos.platform, channel, promos.db, promos.admin, promos.till, "", "")
            streams = [aiter(watch(other, campaign.id, promos.admin)) for _ in range(3)]
            for stream in streams:
                assert await left(stream) == 100
            async with asyncio.timeout(DRAIN_SECONDS / 2):  # far from the time that calls have to end
                await running.stop()
            for stream in streams:
                assert await refusal(left(stream)) == (
                    "DEPENDENCY_UNAVAILABLE",
                    grpc.StatusCode.UNAVAILABLE,
                    {"dependency": "promos"},
                )
        finally:
            await channel.close()
