"""What happens to members reaches the other services, in order and once, whoever is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from scrip.promos.v1 import campaign_pb2, campaign_pb2_grpc, code_pb2
from sqlalchemy import text

from services.common import jobs
from services.common.db import Connection
from services.identity.commands.register_member import DELIVER_JOB
from tests.inprocess import InProcess, Member, Platform, bearer, eventually

LISTENERS = ("points", "promos", "vouchers")


@pytest.fixture
async def campaign(platform: Platform) -> AsyncIterator[str]:
    """A campaign in which every first login takes a place."""
    stub = campaign_pb2_grpc.CampaignServiceStub(platform.channels["promos"])
    admin = bearer(await platform.admin())
    request = campaign_pb2.CreateCampaignRequest(
        name="First", places=1_000, benefit=code_pb2.Benefit(percent_off=30)
    )
    campaign_id = (await stub.CreateCampaign(request, metadata=admin)).campaign.id
    yield campaign_id
    await stub.EndCampaign(campaign_pb2.EndCampaignRequest(campaign_id=campaign_id), metadata=admin)


async def row(platform: Platform, service: str, query: str, member: Member) -> Any:
    """What a service's database has of a member."""

    async def read(connection: Connection) -> Any:
        return (await connection.execute(text(query), {"member": member.id})).first()

    return await platform.databases[service].read(read)


async def delivered(platform: Platform, member: Member) -> dict[str, int]:
    """Up to which version each service has heard of a member."""

    async def read(connection: Connection) -> dict[str, int]:
        rows = await connection.execute(
            text("SELECT service, delivered_version FROM member_event_deliveries WHERE member_id = :id"),
            {"id": member.id},
        )
        return {found.service: found.delivered_version for found in rows}

    return await platform.databases["identity"].read(read)


async def wins(platform: Platform, campaign_id: str, member: Member) -> int:
    """How many places of a campaign a member has."""
    query = "SELECT count(*) AS won FROM winners WHERE member_id = :member AND campaign_id = '{}'"
    found = await row(platform, "promos", query.format(UUID(campaign_id)), member)
    return int(found.won)


async def test_a_listener_that_was_away_hears_all_in_order_and_once(
    in_process: InProcess, platform: Platform, campaign: str
) -> None:
    await platform.stop("promos")
    try:
        members = [await platform.member() for _ in range(3)]

        async def others_know() -> None:
            for member in members:
                assert await delivered(platform, member) == {"points": 2, "vouchers": 2}

        await eventually(others_know)  # one that is away holds up nobody else
        await asyncio.sleep(1.5)  # long enough for tries that fail
    finally:
        await in_process.start_service("promos")

    async def all_know() -> None:
        for member in members:
            assert await delivered(platform, member) == dict.fromkeys(LISTENERS, 2)

    await eventually(all_know, seconds=20)
    for member in members:
        assert await wins(platform, campaign, member) == 1


async def test_registration_comes_before_the_first_login(platform: Platform) -> None:
    member = await platform.member()

    async def known() -> None:
        for service in ("points", "vouchers"):
            query = "SELECT version, registered_at FROM members WHERE member_id = :member"
            found = await row(platform, service, query, member)
            assert found is not None
            assert found.version == 2
            # A service that heard of the login first would ignore the registration as older.
            assert found.registered_at is not None

    await eventually(known)


async def test_telling_again_changes_nothing(platform: Platform, campaign: str) -> None:
    member = await platform.member()

    async def known() -> None:
        assert await delivered(platform, member) == dict.fromkeys(LISTENERS, 2)

    await eventually(known)

    async def forget_and_tell_again(connection: Connection) -> None:
        await connection.execute(
            text("UPDATE member_event_deliveries SET delivered_version = 0 WHERE member_id = :id"),
            {"id": member.id},
        )
        for service in LISTENERS:
            await jobs.defer(connection, DELIVER_JOB, service=service, member_id=str(member.id))

    await platform.databases["identity"].run(forget_and_tell_again)
    await asyncio.sleep(0.05)
    await eventually(known)
    assert await wins(platform, campaign, member) == 1
