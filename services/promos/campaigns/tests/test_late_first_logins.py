"""A first login that promos could not take at first still wins its place, however late it comes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from scrip.identity.v1 import member_pb2, member_pb2_grpc

from services.common.db import execute, fetch_value
from services.common.outbox import retry_set_aside
from services.promos.campaigns import first_logins
from services.promos.tests.support import Promos
from tests.inprocess import Member, Platform, bearer, eventually

TakePlace = Callable[..., Awaitable[None]]


class Defect:
    """Promos fails at whatever a first login wins, until it is mended."""

    def __init__(self, take_place: TakePlace) -> None:
        self.mended = False
        self._take_place = take_place

    async def take_place(self, *arguments: Any) -> None:
        """Fails, or does what it should."""
        if not self.mended:
            raise ValueError("a defect")
        await self._take_place(*arguments)


@pytest.fixture
def defect(monkeypatch: pytest.MonkeyPatch) -> Defect:
    """A defect of promos."""
    made = Defect(first_logins._take_place)
    monkeypatch.setattr(first_logins, "_take_place", made.take_place)
    return made


async def set_aside_for(platform: Platform, member: Member) -> int:
    """Returns how many events of the member are set aside for promos."""
    query = """
        SELECT count(*) FROM outbox
        WHERE receiver = 'promos' AND subject = %(id)s AND set_aside_at IS NOT NULL
    """
    return int(await platform.databases["identity"].read(fetch_value, query, id=str(member.id)))


@pytest.mark.covers("C3 MemberEventsService.Apply", "I7 MemberEventsService.Apply")
async def test_a_first_login_that_was_set_aside_wins_its_place_when_it_comes_at_last(
    promos: Promos, platform: Platform, defect: Defect
) -> None:
    """Others win before it, and another event of the member overtakes it."""
    campaign = await promos.campaign(places=2)
    late = await platform.member()

    async def aside() -> None:
        assert await set_aside_for(platform, late) == 1

    await eventually(aside)
    members = member_pb2_grpc.MemberServiceStub(platform.channels["identity"])
    consent = member_pb2.SetMyConsentRequest(shares_contact=True, wording_version="1")
    await members.SetMyConsent(consent, metadata=bearer(late.token))

    async def overtaken() -> None:
        version = "SELECT version FROM members WHERE member_id = %(id)s"
        assert await promos.value(version, id=late.id) == 3

    await eventually(overtaken)
    assert await promos.rewards_of(late.id) == []
    defect.mended = True
    early = await platform.member()

    async def won(member: Member, rank: int) -> None:
        assert [one.rank for one in await promos.rewards_of(member.id)] == [rank]

    await eventually(lambda: won(early, 1))
    identity = platform.databases["identity"]
    due = "UPDATE outbox SET next_attempt_at = now() WHERE subject = %(id)s AND set_aside_at IS NOT NULL"
    await identity.run(execute, due, id=str(late.id))
    await retry_set_aside(identity)
    await eventually(lambda: won(late, 2))
    assert await set_aside_for(platform, late) == 0
    assert [winner.member_id for winner in await promos.winners(campaign.id)] == [str(early.id), str(late.id)]
    assert (await promos.get_campaign(campaign.id)).places_left == 0
