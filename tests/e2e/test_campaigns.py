"""A campaign over REST: everybody sees it, staff change it, its places are watched, its winners a file."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator

import pytest

from tests.platform import Platform, eventually

CHANGE_SECONDS = 10.0


@pytest.mark.covers("C3 CampaignService.WatchPlacesEvents", "C3 CampaignService.ExportWinners")
async def test_a_campaign_is_seen_watched_changed_and_won_over_rest(live: Platform) -> None:
    campaign = await live.campaign(1)
    path = f"/v1/campaigns/{campaign}"
    running = await live.http.get("/v1/campaigns:running")
    assert running.headers["cache-control"] == "public, max-age=5"
    [shown] = [one for one in running.json()["campaigns"] if one["campaign_id"] == campaign]
    assert (shown["places"], shown["places_left"], "etag" in shown) == (1, 1, False)
    changes = {"places": 2, "description": "30 % off", "rewards_valid_days": 7}
    changed = (await live.ok("PATCH", path, changes, token=live.admin))["campaign"]
    assert {name: changed[name] for name in changes} == changes
    assert changed["state"] == "CAMPAIGN_STATE_RUNNING"
    headers = {"authorization": f"Bearer {live.admin}"}
    async with live.http.stream("GET", f"{path}/places:watch", headers=headers) as stream:
        assert stream.headers["content-type"] == "text/event-stream"
        places = _places(stream.aiter_lines())
        for left in (2, 1, 0):
            async with asyncio.timeout(CHANGE_SECONDS):
                assert await anext(places) == left
            if left:
                await live.member()
        assert await anext(places, None) is None

    async def full() -> None:
        got = await live.ok("GET", path, token=live.admin)
        assert got["campaign"]["state"] == "CAMPAIGN_STATE_FULL"

    await eventually(full, CHANGE_SECONDS)
    file = await live.http.get(f"{path}/winners:export", headers=headers)
    assert file.headers["content-disposition"] == 'attachment; filename="winners.csv"'
    _, *lines, end = csv.reader(io.StringIO(file.content.decode("utf-8-sig"), newline=""))
    assert [line[0] for line in lines] == ["1", "2"]
    assert end == ["#end", "2"]


async def _places(lines: AsyncIterator[str]) -> AsyncIterator[int]:
    last = 0
    async for line in lines:
        if line.startswith("id:"):
            assert int(line.removeprefix("id:")) > last
            last = int(line.removeprefix("id:"))
        if line.startswith("data:"):
            assert last
            yield json.loads(line.removeprefix("data:"))["places_left"]
