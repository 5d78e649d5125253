"""What a member has won and can use now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.sql import SQL

from services.common.db import Connection, fetch_all
from services.promos.benefits import BenefitColumns, benefit_of
from services.promos.codes import USABLE_CODES

MOST_REWARDS = 50


@dataclass(frozen=True, slots=True)
class UsableReward(BenefitColumns):
    """What was won, in which campaign."""

    campaign_name: str
    code: str
    expires_at: datetime | None


_USABLE = SQL(
    """
    SELECT
      p.name AS campaign_name, c.code, c.expires_at, {benefit}
    FROM winners w JOIN campaigns p ON p.id = w.campaign_id JOIN {usable_codes} c ON c.id = w.code_id
    WHERE w.member_id = %(member_id)s
      AND NOT EXISTS (SELECT FROM members WHERE member_id = %(member_id)s AND status <> 'ACTIVE')
    ORDER BY c.expires_at NULLS LAST, w.code_id
    LIMIT %(limit)s
    """
).format(usable_codes=USABLE_CODES, benefit=benefit_of("c"))


async def usable_rewards(connection: Connection, member_id: UUID) -> Sequence[UsableReward]:
    """Returns what a member has won and can use now, what expires first first, 50 at most.

    Members who are suspended can use nothing.
    """
    return await fetch_all(connection, UsableReward, _USABLE, member_id=member_id, limit=MOST_REWARDS)
