"""Reads of what members have won, and of who has won in a campaign."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.sql import SQL

from services.common.db import Connection, fetch_first, fetch_values
from services.common.lists import Listing, SortKey, parse_moment
from services.promos.benefits import BenefitColumns, benefit_of
from services.promos.campaigns.refusals import reward_not_found
from services.promos.codes import CODES, CodeState


@dataclass(frozen=True, slots=True)
class RewardRow(BenefitColumns):
    """What a member has won in a campaign."""

    id: UUID
    campaign_id: UUID
    name: str
    rank: int
    code_id: UUID
    code: str
    state: CodeState
    won_at: datetime
    expires_at: datetime | None
    used_at: datetime | None


_REWARD_COLUMNS = SQL(
    """
    w.id, w.campaign_id, p.name, w.rank, w.code_id, c.code, c.state, w.won_at, c.expires_at,
    c.used_at, {benefit}
    """
).format(benefit=benefit_of("c"))
_REWARD_SOURCE = SQL(
    "winners w JOIN campaigns p ON p.id = w.campaign_id JOIN {codes} c ON c.id = w.code_id"
).format(codes=CODES)

REWARD_LIST = Listing(
    row=RewardRow,
    columns=_REWARD_COLUMNS,
    source=_REWARD_SOURCE,
    filters={"member_id": "w.member_id = %(member_id)s", "state": "c.state = %(state)s"},
    keys={"won_at": SortKey("w.won_at", "won_at", parse_moment)},
    key=SortKey("w.id", "id", UUID),
    default_order="won_at desc",
)
"""The rewards of one member, who must be named: there are few, which are sorted when they are asked for."""

_REWARD = SQL("SELECT {columns} FROM {source} WHERE w.id = %(id)s AND w.member_id = %(member_id)s").format(
    columns=_REWARD_COLUMNS, source=_REWARD_SOURCE
)


async def get_reward(connection: Connection, reward_id: UUID, member_id: UUID) -> RewardRow:
    """Returns a reward of this member. Raises REWARD_NOT_FOUND."""
    found = await fetch_first(connection, RewardRow, _REWARD, id=reward_id, member_id=member_id)
    if found is None:
        raise reward_not_found(reward_id)
    return found


async def codes_won(connection: Connection, member_id: UUID) -> Sequence[UUID]:
    """Returns the ids of all codes that a member has won."""
    return await fetch_values(
        connection, "SELECT code_id FROM winners WHERE member_id = %(member_id)s", member_id=member_id
    )


@dataclass(frozen=True, slots=True)
class WinnerRow:
    """A place that was won, and what became of its code and its winner."""

    rank: int
    member_id: UUID
    logged_in_at: datetime
    won_at: datetime
    code_id: UUID
    code_state: CodeState
    used_at: datetime | None
    account_closed: bool


def _rank(text: str) -> int:
    """Returns a rank from a page token. Raises ValueError for one that no rank can have."""
    rank = int(text)
    if not 0 < rank < 2**31:
        raise ValueError(text)
    return rank


WINNER_LIST = Listing(
    row=WinnerRow,
    columns="""
    w.rank, w.member_id, w.logged_in_at, w.won_at, w.code_id, c.state AS code_state, c.used_at,
    coalesce(m.status = 'CLOSED', false) AS account_closed
    """,
    source=SQL(
        "winners w JOIN {codes} c ON c.id = w.code_id LEFT JOIN members m ON m.member_id = w.member_id"
    ).format(codes=CODES),
    filters={
        "campaign_id": "w.campaign_id = %(campaign_id)s",
        "rank_from": "w.rank >= %(rank_from)s",
        "rank_until": "w.rank < %(rank_until)s",
        "member_id": "w.member_id = %(member_id)s",
    },
    keys={"rank": SortKey("w.rank", "rank", _rank)},
    key=SortKey("w.rank", "rank", _rank),
    default_order="rank",
)
"""The winners of one campaign, which must be named."""
