"""What a member has claimed and can use now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.sql import SQL

from services.common.db import Connection, fetch_all
from services.promos.benefits import BenefitColumns, benefit_of
from services.promos.brands import BRAND_NAMES
from services.promos.codes import USABLE_CODES

MOST_CLAIMS = 50


@dataclass(frozen=True, slots=True)
class UsableClaim(BenefitColumns):
    """What was claimed, of which brand's discount."""

    discount_name: str
    brand_name: str
    code: str
    expires_at: datetime | None


_USABLE = SQL(
    """
    SELECT d.name AS discount_name, b.name AS brand_name, c.code, c.expires_at, {benefit}
    FROM claims m JOIN discounts d ON d.id = m.discount_id JOIN {brands} b ON b.id = m.brand_id
    JOIN {usable_codes} c ON c.id = m.code_id
    WHERE m.member_id = %(member_id)s
    ORDER BY c.expires_at NULLS LAST, m.id
    LIMIT %(limit)s
    """
).format(brands=BRAND_NAMES, usable_codes=USABLE_CODES, benefit=benefit_of("c"))


async def usable_claims(connection: Connection, member_id: UUID) -> Sequence[UsableClaim]:
    """Returns what a member has claimed and can use now, what expires first first, 50 at most.

    Members who are suspended can use nothing.
    """
    return await fetch_all(connection, UsableClaim, _USABLE, member_id=member_id, limit=MOST_CLAIMS)
