"""Reads of gifts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg.sql import SQL

from services.common.db import Connection, fetch_first, fetch_value
from services.common.lists import Listing, SortKey, parse_moment
from services.vouchers.catalogue import VOUCHERS
from services.vouchers.gifts.refusals import gift_not_found

GiftState = Literal["OFFERING", "OFFERED", "ACCEPTING", "ACCEPTED", "RETURNING", "RETURNED"]
ShownState = Literal["OFFERED", "ACCEPTED", "RETURNED"]


@dataclass(frozen=True, slots=True)
class GiftStep:
    """A gift as those who move it on see it."""

    id: UUID
    wallet_voucher_id: UUID
    voucher_id: UUID
    order_id: UUID
    code_id: UUID
    giver_id: UUID
    notice_id: UUID
    receiver_id: UUID | None
    state: GiftState


STEP = SQL(
    """
    g.id, g.wallet_voucher_id, g.voucher_id, g.order_id, g.code_id, g.giver_id, g.notice_id, g.receiver_id,
    g.state
    """
)
"""The columns of a gift `g` that GiftStep is made of."""

_STEP_BY_ID = SQL("SELECT {columns} FROM gifts g WHERE g.id = %(id)s").format(columns=STEP)


async def find_step(connection: Connection, gift_id: UUID) -> GiftStep | None:
    """Returns a gift, or None when there is none."""
    return await fetch_first(connection, GiftStep, _STEP_BY_ID, id=gift_id)


async def is_recipient_needed(connection: Connection, gift: GiftStep) -> bool:
    """Returns whether a gift of the same notice, itself or another of its order, has not ended."""
    return bool(
        await fetch_value(
            connection,
            """
            SELECT EXISTS (
              SELECT FROM gifts
              WHERE order_id = %(order_id)s AND notice_id = %(notice_id)s AND ended_at IS NULL
            )
            """,
            order_id=gift.order_id,
            notice_id=gift.notice_id,
        )
    )


@dataclass(frozen=True, slots=True)
class GiftRow:
    """A gift as people see it."""

    id: UUID
    wallet_voucher_id: UUID
    voucher_id: UUID
    title: str
    face_value_minor: int | None
    currency_code: str
    benefit: Mapping[str, Any] | None
    state: ShownState
    recipient_name: str
    message: str
    given_at: datetime
    returns_at: datetime
    ended_at: datetime | None
    refusal: Mapping[str, Any] | None
    order_id: UUID | None
    """The giver's order that brought it; None when the giver had it as a gift."""


_SHOWN = SQL(
    """
    CASE
      WHEN g.state = 'ACCEPTED' THEN 'ACCEPTED'
      WHEN g.state IN ('RETURNING', 'RETURNED') THEN 'RETURNED'
      ELSE 'OFFERED'
    END
    """
)
_COLUMNS = SQL(
    """
    g.id, g.wallet_voucher_id, g.voucher_id, v.title, v.face_value_minor, v.currency_code, v.benefit,
    {shown} AS state, g.recipient_name, g.message, g.given_at, g.returns_at, g.ended_at, g.refusal,
    CASE WHEN NOT EXISTS (
      SELECT FROM gifts e
      WHERE e.wallet_voucher_id = g.wallet_voucher_id AND e.receiver_id = g.giver_id AND e.state = 'ACCEPTED'
    ) THEN g.order_id END AS order_id
    """
).format(shown=_SHOWN)
_SOURCE = SQL("gifts g JOIN {vouchers} v ON v.id = g.voucher_id").format(vouchers=VOUCHERS)
_KEYS = {"given_at": SortKey("g.given_at", "given_at", parse_moment)}
_KEY = SortKey("g.id", "id", UUID)

GIVEN = Listing(
    row=GiftRow,
    columns=_COLUMNS,
    source=_SOURCE,
    filters={"giver_id": "g.giver_id = %(giver_id)s", "state": SQL("{} = %(state)s").format(_SHOWN)},
    keys=_KEYS,
    key=_KEY,
    default_order="given_at desc",
    always="g.refusal IS NULL",
)
"""The gifts of one giver, who must be named: few have many. One that never came to be on offer is none."""

OFFERED_TO = Listing(
    row=GiftRow,
    columns=_COLUMNS,
    source=_SOURCE,
    filters={"recipient_hash": "g.recipient_hash = %(recipient_hash)s"},
    keys=_KEYS,
    key=_KEY,
    default_order="given_at desc",
    always="g.state IN ('OFFERED', 'ACCEPTING')",
)
"""What is on offer to one number, which must be named."""

ACCEPTED_BY = Listing(
    row=GiftRow,
    columns=_COLUMNS,
    source=_SOURCE,
    filters={"receiver_id": "g.receiver_id = %(receiver_id)s"},
    keys=_KEYS,
    key=_KEY,
    default_order="given_at desc",
    always="g.state = 'ACCEPTED'",
)
"""What one member has accepted, who must be named."""

_GIVEN_GIFT = SQL("SELECT {columns} FROM {source} WHERE g.id = %(id)s AND g.giver_id = %(giver_id)s").format(
    columns=_COLUMNS, source=_SOURCE
)


async def get_given_gift(connection: Connection, gift_id: UUID, giver_id: UUID) -> GiftRow:
    """Returns a gift that this member gave. Raises GIFT_NOT_FOUND."""
    found = await fetch_first(connection, GiftRow, _GIVEN_GIFT, id=gift_id, giver_id=giver_id)
    if found is None:
        raise gift_not_found(gift_id)
    return found


_RECEIVED_GIFT = SQL(
    """
    SELECT {columns} FROM {source}
    WHERE g.id = %(id)s AND (
      (g.recipient_hash = %(recipient_hash)s AND g.state IN ('OFFERED', 'ACCEPTING'))
      OR (g.receiver_id = %(receiver_id)s AND g.state = 'ACCEPTED')
    )
    """
).format(columns=_COLUMNS, source=_SOURCE)


async def get_received_gift(
    connection: Connection, gift_id: UUID, *, receiver_id: UUID, recipient_hash: bytes
) -> GiftRow:
    """Returns a gift that is on offer to this number, or that this member accepted. Raises GIFT_NOT_FOUND."""
    found = await fetch_first(
        connection,
        GiftRow,
        _RECEIVED_GIFT,
        id=gift_id,
        receiver_id=receiver_id,
        recipient_hash=recipient_hash,
    )
    if found is None:
        raise gift_not_found(gift_id)
    return found
