"""What happens to members reaches every service: once in effect, in order, also when processes are killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
import pytest
from pydantic import SecretStr
from scrip.promos.v1 import campaign_pb2, campaign_pb2_grpc, code_pb2

from services.common.db import Connection, execute
from services.common.encoding import timestamp
from services.common.ids import new_id
from services.common.outbox import OUTBOX_JOB, NewMessage, put_all, retry_set_aside
from services.identity.events import EVENT_QUEUES, TOPIC
from services.identity.events.kinds import event_content
from services.identity.tests.people import DONE, LISTENERS, People, outcomes, tally
from services.identity.tests.sending import SILENT
from stack.settings import ROOT
from tests.inprocess import InProcess, Member, Platform, bearer, eventually

QUIET_SECONDS = 40.0
"""How long what the tests before have left to send may take; that proves nothing here."""


async def assert_delivered(people: People, member_id: UUID) -> None:
    """Asserts that identity has nothing left to send of a member; it removes a message after it was taken."""
    assert await people.unsent(member_id) == []


async def prizes(people: People, members: Sequence[Member], campaign_id: str) -> list[int]:
    """Returns how many places of a campaign each member has."""
    rows = await people.rows(
        "promos",
        "SELECT member_id FROM winners WHERE campaign_id = %(campaign)s",
        campaign=UUID(campaign_id),
    )
    winners = [member_id for (member_id,) in rows]
    return [winners.count(member.id) for member in members]


@pytest.fixture
async def campaign_id(platform: Platform) -> str:
    """A campaign that gives every first login a prize."""
    request = campaign_pb2.CreateCampaignRequest(
        name="First logins",
        places=10_000,
        benefit=code_pb2.Benefit(percent_off=30),
        starts_at=timestamp(datetime.now(UTC) - timedelta(minutes=1)),
    )
    campaigns = campaign_pb2_grpc.CampaignServiceStub(platform.channels["promos"])
    metadata = bearer(await platform.admin(), idempotency_key=str(new_id()))
    return (await campaigns.CreateCampaign(request, metadata=metadata)).campaign.id


@pytest.mark.covers("I7 MemberEventsService.Apply")
async def test_a_members_whole_life_reaches_every_service_in_order(
    people: People, platform: Platform
) -> None:
    member, manager = await platform.member(), await platform.token("manager")
    await people.consent(member.token, shares=True)
    await people.suspend(member.id, manager)
    await eventually(lambda: people.assert_all_heard(member.id, "SUSPENDED"))
    await people.restore(member.id, manager)
    login = await people.log_in_by_phone(member.phone)
    await people.close(login.access_token)
    assert await people.events(member.id) == [
        "REGISTERED",
        "FIRST_LOGIN",
        "CONSENT_CHANGED",
        "SUSPENDED",
        "RESTORED",
        "CLOSED",
    ]
    await eventually(lambda: people.assert_all_heard(member.id, "CLOSED"))
    await eventually(lambda: assert_delivered(people, member.id))


async def test_events_made_at_once_are_counted_without_gaps(people: People, platform: Platform) -> None:
    """As many at a time as identity has connections: more would wait for one, for no longer than 5 s."""
    member, together = await platform.member(), platform.settings["identity"].database_pool_size
    for first in range(0, 50, together):
        wordings = map(str, range(first, first + together))
        calls = [people.consent(member.token, shares=True, wording=wording) for wording in wordings]
        assert tally(await outcomes(calls)) == {DONE: together}
    assert len(await people.events(member.id)) == 52
    await eventually(lambda: people.assert_all_heard(member.id), seconds=10)
    # The jobs that are left have nothing to send, one a second: they would keep the other tests waiting.
    left = "DELETE FROM procrastinate_jobs WHERE args ->> 'subject' = %(id)s AND status = 'todo'"
    await people.execute("identity", left, id=str(member.id))


@pytest.mark.covers("I7 MemberEventsService.Apply")
@pytest.mark.parametrize("away", LISTENERS)
async def test_a_service_that_was_away_hears_it_all_afterwards(
    people: People, in_process: InProcess, away: str
) -> None:
    platform = in_process.platform
    manager = await platform.token("manager")
    await platform.stop(away)
    try:
        member = await platform.member()
        await people.suspend(member.id, manager)

        async def the_others_know() -> None:
            expected = dict.fromkeys((name for name in LISTENERS if name != away), (3, "SUSPENDED"))
            assert await people.heard(member.id) == expected

        await eventually(the_others_know)
        await people.restore(member.id, manager)
    finally:
        await in_process.start_service(away)
    await eventually(lambda: people.assert_all_heard(member.id, "ACTIVE"), seconds=20)
    # Of events in another order it would have ignored the older ones.
    known = "first_login_at" if away == "promos" else "registered_at"
    query = f"SELECT {known} IS NOT NULL FROM members WHERE member_id = %(id)s"  # of constants
    assert await people.rows(away, query, id=member.id) == [(True,)]


async def test_a_service_that_is_away_for_long_holds_up_none_of_the_others(
    people: People, in_process: InProcess
) -> None:
    """However many events wait for it, each try of which takes its time."""
    platform = in_process.platform
    await eventually(lambda: no_jobs(people), seconds=QUIET_SECONDS)
    await platform.stop("vouchers")
    try:
        waiting = [await platform.member() for _ in range(60)]
        member = await platform.member()

        async def the_others_know() -> None:
            assert await people.heard(member.id) == dict.fromkeys(("points", "promos"), (2, "ACTIVE"))

        await eventually(the_others_know, seconds=7)
    finally:
        await in_process.start_service("vouchers")
    for each in (*waiting, member):
        await eventually(lambda each=each: people.assert_all_heard(each.id), seconds=40)  # type: ignore[misc]


@pytest.mark.covers("I7 MemberEventsService.Apply")
async def test_an_event_delivered_again_and_again_takes_effect_once(
    people: People, platform: Platform, campaign_id: str
) -> None:
    """As if workers had died between sending a message and removing it."""
    members = [await platform.member() for _ in range(5)]
    for member in members:
        await eventually(lambda member=member: people.assert_all_heard(member.id))  # type: ignore[misc]

    async def put_again(connection: Connection) -> None:
        for member in members:
            rows = await people.rows(
                "identity",
                "SELECT id, version, type FROM member_events WHERE member_id = %(id)s",
                id=member.id,
            )
            await put_all(
                connection,
                [
                    NewMessage(
                        topic=TOPIC,
                        receiver=service,
                        subject=str(member.id),
                        version=version,
                        content=event_content(
                            event_id=event_id, kind=kind, phone_hash=None, shares_contact=False
                        ),
                        queue=EVENT_QUEUES[service],
                    )
                    for service in LISTENERS
                    for event_id, version, kind in rows
                ],
            )

    async def told_again() -> None:
        for member in members:
            await assert_delivered(people, member.id)

    for _ in range(5):
        await eventually(told_again, seconds=10)
        await platform.databases["identity"].run(put_again)
    await eventually(told_again, seconds=10)
    await eventually(lambda: no_jobs(people), seconds=QUIET_SECONDS)
    for member in members:
        await people.assert_all_heard(member.id)
    assert await prizes(people, members, campaign_id) == [1] * 5


async def test_a_suspension_does_not_wait_behind_a_first_login_that_can_not_be_applied(
    people: People, platform: Platform
) -> None:
    """Promos meets an unforeseen error at it, again and again."""
    broken = "ALTER TABLE members ADD CONSTRAINT ck_broken CHECK (first_login_at IS NULL) NOT VALID"
    await people.execute("promos", broken)
    try:
        member = await platform.member()
        await people.suspend(member.id, await platform.token("manager"))
        await eventually(lambda: people.assert_all_heard(member.id, "SUSPENDED"), seconds=10)
        assert await people.unsent(member.id) == [("promos", 2)]
    finally:
        await people.execute("promos", "ALTER TABLE members DROP CONSTRAINT ck_broken")
    # Lets time pass.
    await people.execute(
        "identity", "UPDATE outbox SET next_attempt_at = now() WHERE subject = %(id)s", id=str(member.id)
    )
    await retry_set_aside(platform.databases["identity"])
    await eventually(lambda: assert_delivered(people, member.id), seconds=10)
    await people.assert_all_heard(member.id, "SUSPENDED")


async def no_jobs(people: People) -> None:
    """Asserts that identity has nothing left to send."""
    query = "SELECT count(*) FROM procrastinate_jobs WHERE task_name = %(name)s"
    assert await people.rows("identity", query, name=OUTBOX_JOB) == [(0,)]


@pytest.mark.covers("I7 MemberEventsService.Apply")
async def test_a_worker_killed_amid_deliveries_loses_and_repeats_nothing(
    people: People, in_process: InProcess, campaign_id: str
) -> None:
    platform = in_process.platform
    await eventually(lambda: no_jobs(people), seconds=QUIET_SECONDS)
    await in_process.stop_worker("identity")
    try:
        members = [await platform.member() for _ in range(30)]
        with worker(platform) as process:
            await kill_amid_deliveries(people, platform, process)
        doing = "SELECT count(*) FROM procrastinate_jobs WHERE task_name = %(name)s AND status = 'doing'"
        assert await people.rows("identity", doing, name=OUTBOX_JOB) > [(0,)], "none was under way"
        await people.execute("identity", SILENT)
    finally:
        in_process.start_worker("identity")
    for member in members:
        await eventually(lambda member=member: people.assert_all_heard(member.id), seconds=30)  # type: ignore[misc]
        await eventually(lambda member=member: assert_delivered(people, member.id))  # type: ignore[misc]
    assert await prizes(people, members, campaign_id) == [1] * 30


async def kill_amid_deliveries(people: People, platform: Platform, process: subprocess.Popen[bytes]) -> None:
    """Lets the worker begin, has promos hang so that jobs are under way, and kills it."""

    async def begun(count: int = 1) -> None:
        assert await people.rows("promos", "SELECT count(*) FROM members") >= [(before + count,)]

    [(before,)] = await people.rows("promos", "SELECT count(*) FROM members")

    async def hang(connection: Connection) -> None:
        await execute(connection, "LOCK TABLE winners IN SHARE ROW EXCLUSIVE MODE")
        await asyncio.sleep(1)
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.wait)

    await eventually(begun, seconds=20)
    await platform.databases["promos"].run(hang)


@contextmanager
def worker(platform: Platform) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of identity in a process of its own."""
    environment = dict(os.environ)
    for name, value in platform.settings["identity"]:
        if value is None:
            continue
        plain = value.get_secret_value() if isinstance(value, SecretStr) else value
        written = str(plain) if isinstance(plain, str | ZoneInfo) else orjson.dumps(plain).decode()
        environment[f"SCRIP_{name.upper()}"] = written
    for service, target in platform.targets.items():
        environment[f"SCRIP_{service.upper()}_TARGET"] = target
    command = [sys.executable, "-m", "services.identity", "worker"]
    process = subprocess.Popen(  # ourselves
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
