"""What a member can get for points alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg.sql import SQL

from services.common.db import Connection, fetch_all
from services.common.lists import Listing, SortKey
from services.vouchers.catalogue import conditions
from services.vouchers.catalogue.conditions import ON_SALE, PRICE_KINDS
from services.vouchers.catalogue.queries import COLUMNS, VoucherRow

MOST_IN_ORDER = 20
"""Pieces that one order may have."""

EXCHANGE_LIST = Listing(
    row=VoucherRow,
    columns=COLUMNS,
    source="vouchers",
    filters={
        "on_sale": ON_SALE,
        "for_points": PRICE_KINDS["POINTS"],
        "balance": "vouchers.price_points <= %(balance)s AND vouchers.issued < vouchers.quantity",
        "member_id": SQL(
            """
            (vouchers.max_per_member = 0 OR NOT EXISTS (
              SELECT FROM voucher_members m
              WHERE m.voucher_id = vouchers.id AND m.member_id = %(member_id)s
                AND m.ordered >= vouchers.max_per_member
            ))
            """
        ),
    },
    keys={"price_points": conditions.PRICE_POINTS, "face_value": conditions.FACE_VALUE},
    key=SortKey("vouchers.id", "id", UUID),
    default_order="price_points",
)
"""What can be had for points now; of it, what a balance pays for, and what a member's limits allow."""


@dataclass(frozen=True, slots=True)
class _Ordered:
    voucher_id: UUID
    ordered: int


async def ordered_by(
    connection: Connection, member_id: UUID, voucher_ids: Sequence[UUID]
) -> Mapping[UUID, int]:
    """Returns how many pieces a member has ordered of those of these vouchers that limit it."""
    rows = await fetch_all(
        connection,
        _Ordered,
        """
        SELECT voucher_id, ordered FROM voucher_members
        WHERE voucher_id = ANY(%(voucher_ids)s) AND member_id = %(member_id)s
        """,
        voucher_ids=list(voucher_ids),
        member_id=member_id,
    )
    return {row.voucher_id: row.ordered for row in rows}


def affordable(voucher: VoucherRow, *, balance: int, ordered: int) -> int:
    """Returns how many pieces a member with this balance, who `ordered` so many, could get in one order."""
    by_limit = voucher.max_per_member - ordered if voucher.max_per_member else MOST_IN_ORDER
    pieces = min(voucher.quantity_left, balance // voucher.price_points, by_limit, MOST_IN_ORDER)
    return max(pieces, 0)
