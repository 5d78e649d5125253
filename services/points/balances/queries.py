"""Reads of balances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text

from services.common.legacy_db import Connection
from services.points.purchases.purchase import Balance


@dataclass(frozen=True)
class MemberPoints:
    """What staff see of a member's points."""

    balance: int
    debt: int
    closed: bool


async def get_member_points(connection: Connection, member_id: UUID) -> MemberPoints:
    """What staff see of a member's points; one who never had any has none."""
    result = await connection.execute(
        text("SELECT balance, debt, closed FROM accounts WHERE member_id = :member_id"),
        {"member_id": member_id},
    )
    row = result.first()
    return MemberPoints(*row) if row else MemberPoints(0, 0, closed=False)


async def list_balances(connection: Connection, *, after: UUID, limit: int) -> Sequence[Balance]:
    """Balances of the members after one, in their order."""
    result = await connection.execute(
        text(
            "SELECT member_id, version, balance, debt FROM accounts WHERE member_id > :after"
            " ORDER BY member_id LIMIT :limit"
        ),
        {"after": after, "limit": limit},
    )
    return [Balance(*row) for row in result]


async def balances_of(connection: Connection, members: Sequence[UUID]) -> Sequence[Balance]:
    """Balances of these members, without those who never had one."""
    result = await connection.execute(
        text("SELECT member_id, version, balance, debt FROM accounts WHERE member_id = ANY(:members)"),
        {"members": list(members)},
    )
    return [Balance(*row) for row in result]
