"""Who has won: filters, order, total, a file, what became of each, and what a page reads."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from scrip.common.internal.v1 import member_events_pb2
from scrip.promos.internal.v1 import promos_pb2
from scrip.promos.v1 import campaign_pb2, reward_pb2

from services.common.db import Connection, Database, execute
from services.common.ids import new_id
from services.common.paging import Page
from services.promos.campaigns.rewards import WINNER_LIST
from services.promos.tests.support import CLOSED, Promos
from tests.databases import new_database
from tests.inprocess import Platform, bearer, reason
from tests.plans import rows_read

USABLE, USED = reward_pb2.REWARD_STATE_USABLE, reward_pb2.REWARD_STATE_USED
VOID = reward_pb2.REWARD_STATE_VOID
SUSPENDED = member_events_pb2.MEMBER_EVENT_TYPE_SUSPENDED
RESTORED = member_events_pb2.MEMBER_EVENT_TYPE_RESTORED


async def export(promos: Promos, campaign_id: str) -> list[list[str]]:
    """Returns the lines of the file of winners."""
    request = campaign_pb2.ExportWinnersRequest(campaign_id=campaign_id)
    call = promos.campaigns.ExportWinners(request, metadata=bearer(promos.admin))
    content = b"".join([piece.data async for piece in call])
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))


@pytest.mark.covers("C3 CampaignService.ListWinners")
async def test_winners_are_found_by_rank_and_member_in_either_order_with_a_total(promos: Promos) -> None:
    campaign = await promos.campaign()
    members = [str(await promos.first_login()) for _ in range(5)]

    async def found(**fields: Any) -> list[int]:
        return [winner.rank for winner in (await promos.list_winners(campaign.id, **fields)).winners]

    assert await found() == [1, 2, 3, 4, 5]
    assert await found(order_by="rank desc") == [5, 4, 3, 2, 1]
    assert await found(rank_from=2, rank_until=4) == [2, 3]
    assert await found(rank_from=6) == []
    assert await found(member_id=members[3]) == [4]
    assert await found(member_id=str(new_id())) == []
    page = await promos.list_winners(campaign.id, rank_from=2, page_size=1, with_total=True)
    assert (len(page.winners), page.total.count, page.total.more) == (1, 4, False)
    next_page = await promos.list_winners(
        campaign.id, rank_from=2, page_size=200, page_token=page.next_page_token
    )
    assert [winner.rank for winner in next_page.winners] == [3, 4, 5]
    for fields in ({"rank_from": 0}, {"rank_until": -1}, {"member_id": "x"}, {"order_by": "won_at"}):
        assert await reason(promos.list_winners(campaign.id, **fields)) == "VALIDATION_FAILED"


@pytest.mark.covers("C3 CampaignService.ListWinners", "C4 RewardService.GetMyReward")
async def test_a_winner_is_told_with_what_became_of_the_code(promos: Promos) -> None:
    campaign = await promos.campaign()
    member = await promos.first_login()
    [reward] = await promos.rewards_of(member)
    [winner] = await promos.winners(campaign.id)
    assert (winner.code_id, winner.code_state, winner.won_at) == (reward.code_id, USABLE, reward.won_at)
    assert not winner.HasField("used_at")
    assert not reward.HasField("used_at")
    redemption = await promos.redeem(reward.code, "R-1")
    [winner], [reward] = await promos.winners(campaign.id), await promos.rewards_of(member)
    assert (winner.code_state, winner.used_at) == (USED, redemption.redeemed_at)
    assert (reward.state, reward.used_at) == (USED, redemption.redeemed_at)
    await promos.cancel(redemption.id)
    [winner], [reward] = await promos.winners(campaign.id), await promos.rewards_of(member)
    assert not winner.HasField("used_at")
    assert not reward.HasField("used_at")


@pytest.mark.covers("C3 CampaignService.ListWinners")
async def test_nobody_moves_up_when_a_winner_closes_the_account(promos: Promos) -> None:
    campaign = await promos.campaign(places=3)
    first, second, third = [await promos.first_login() for _ in range(3)]
    [reward] = await promos.rewards_of(second)
    await promos.redeem(reward.code, "R-1")
    for member in (first, second):
        await promos.apply(member, version=3, event=CLOSED)
    late = await promos.first_login()
    told = [(w.rank, w.member_id, w.code_state, w.account_closed) for w in await promos.winners(campaign.id)]
    assert told == [
        (1, str(first), VOID, True),
        (2, str(second), USED, True),
        (3, str(third), USABLE, False),
    ]
    assert await promos.rewards_of(late) == []
    await promos.assert_consistent()


@pytest.mark.covers("C3 CampaignService.ExportWinners")
async def test_winners_are_exported_by_rank_with_an_end(promos: Promos) -> None:
    campaign = await promos.campaign()
    members = [str(await promos.first_login()) for _ in range(3)]
    await promos.apply(UUID(members[1]), version=3, event=CLOSED)
    header, *lines, end = await export(promos, campaign.id)
    assert end == ["#end", "3"]
    winners = await promos.winners(campaign.id)
    assert [line[:2] for line in lines] == [[str(w.rank), w.member_id] for w in winners]
    assert dict(zip(header, lines[1], strict=True)) == {
        "rank": "2",
        "member_id": members[1],
        "logged_in_at": winners[1].logged_in_at.ToJsonString(),
        "won_at": winners[1].won_at.ToJsonString(),
        "code_id": winners[1].code_id,
        "code_state": "VOID",
        "used_at": "",
        "account_closed": "yes",
    }
    assert lines[0][-1] == "no"


@pytest.mark.covers("C3 CampaignService.ExportWinners")
async def test_an_unknown_campaign_has_no_file(promos: Promos) -> None:
    assert await reason(export(promos, str(new_id()))) == "CAMPAIGN_NOT_FOUND"


@pytest.mark.covers("C4 PromosInternalService.GetUsableRewards")
async def test_a_suspended_member_can_use_no_reward_until_restored(promos: Promos) -> None:
    await promos.campaign()
    member = await promos.first_login()
    identity = bearer(promos.identity)

    async def usable() -> int:
        request = promos_pb2.GetUsableRewardsRequest(member_id=str(member))
        return len((await promos.internal.GetUsableRewards(request, metadata=identity)).rewards)

    assert await usable() == 1
    await promos.apply(member, version=3, event=SUSPENDED)
    assert await usable() == 0
    await promos.apply(member, version=4, event=RESTORED)
    assert await usable() == 1


# What a page reads where there are many.

MANY = 20_000
BIG, SMALL = UUID(int=1), UUID(int=2)


@pytest.fixture(scope="module")
async def many(platform: Platform) -> AsyncIterator[Database]:
    """20,000 winners of one campaign and three of another."""
    url = await new_database(platform.postgres, "promos")
    database = Database(url, pool_size=2)
    await database.run(_fill)
    await database.run(execute, "ANALYZE")
    yield database
    await database.close()


async def _fill(connection: Connection) -> None:
    ids = [BIG, SMALL]
    for statement in (
        "INSERT INTO code_sets (id, purpose, percent_off) SELECT id, 'CAMPAIGN', 30 FROM unnest(%(ids)s) id",
        """
        INSERT INTO campaigns (id, name, places, starts_at, includes_members_without_phone)
        SELECT id, 'x', 1000000, now(), true FROM unnest(%(ids)s) id
        """,
        """
        INSERT INTO codes (id, code_set_id, code, shuffle, state, owner_member_id, uses_allowed, uses)
        SELECT
          lpad(to_hex(i), 32, '0')::uuid, CASE WHEN i <= 3 THEN %(small)s ELSE %(big)s END, i::text, 0,
          'ASSIGNED', lpad(to_hex(i), 32, '0')::uuid, 1, i %% 2
        FROM generate_series(1, %(many)s) AS i
        """,
        """
        INSERT INTO winners (campaign_id, rank, id, member_id, code_id, logged_in_at)
        SELECT code_set_id, row_number() OVER (PARTITION BY code_set_id ORDER BY id), id, id, id, now()
        FROM codes
        """,
        """
        INSERT INTO members (member_id, version, status, status_version)
        SELECT id, 1, 'ACTIVE', 0 FROM codes
        """,
        """
        INSERT INTO redemptions (id, code_id, code_set_id, caller_id, sale_reference)
        SELECT id, id, code_set_id, id, 'R' FROM codes WHERE uses = 1
        """,
    ):
        await execute(connection, statement, ids=ids, big=BIG, small=SMALL, many=MANY)


@pytest.mark.parametrize("order_by", ["rank", "rank desc"])
@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"rank_from": 10_000},
        {"rank_until": 10_000},
        {"rank_from": 10_000, "rank_until": 10_010},
        {"member_id": UUID(int=7_777)},
        {"member_id": UUID(int=10**9)},
        {"campaign_id": SMALL},
    ],
    ids=str,
)
async def test_a_page_of_many_winners_reads_little(
    many: Database, order_by: str, wanted: dict[str, object]
) -> None:
    named = {"campaign_id": BIG, **wanted}
    read = await rows_read(many, WINNER_LIST.page, page=Page(50, "", "x"), order_by=order_by, **named)
    assert read < 600
