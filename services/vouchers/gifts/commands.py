"""Giving vouchers away: each change of a gift decides by its state alone who was first.

A change that asks something of another service queues the job that does it (`advancing.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from psycopg.sql import SQL
from psycopg.types.json import Jsonb

from services.common import jobs
from services.common.db import Connection, execute, fetch_all, fetch_first, fetch_value
from services.common.errors import DomainError
from services.common.ids import new_id
from services.common.members import Closed, MemberEvent
from services.vouchers.catalogue import get_gift_terms, lock_vouchers
from services.vouchers.gifts import refusals
from services.vouchers.gifts.queries import STEP, GiftStep, find_step
from services.vouchers.wallet import OnOffer, end_offer, hand_over, put_on_offer

ADVANCE_JOB = "advance_gift"
FORGET_JOB = "forget_gift_recipient"
_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Gift:
    """To whom a member gives something: a keyed hash of the number, a name, a message that may be empty."""

    recipient_hash: bytes
    recipient_name: str
    message: str
    lasts: timedelta
    """How long it can be accepted."""


async def give_voucher(
    connection: Connection, *, gift_id: UUID, giver_id: UUID, wallet_voucher_id: UUID, gift: Gift
) -> None:
    """Begins to offer one of the member's vouchers, and counts it for the recipient.

    Raises WALLET_VOUCHER_NOT_FOUND, WALLET_VOUCHER_ON_OFFER, GIFT_NOT_ALLOWED and RECIPIENT_LIMIT_REACHED.
    """
    [offered] = await put_on_offer(connection, member_id=giver_id, gift_ids={wallet_voucher_id: gift_id})
    await lock_vouchers(connection, [offered.voucher_id])
    terms = await get_gift_terms(connection, offered.voucher_id)
    if not terms.allowed:
        raise refusals.gift_not_allowed(offered.voucher_id)
    await _count(connection, offered.voucher_id, gift.recipient_hash, most=terms.max_per_recipient)
    await _insert(connection, [offered], giver_id=giver_id, notice_id=gift_id, gift=gift)


async def _count(connection: Connection, voucher_id: UUID, recipient_hash: bytes, *, most: int) -> None:
    """Counts a piece for its recipient; the voucher is locked. Raises RECIPIENT_LIMIT_REACHED."""
    given: int = await fetch_value(
        connection,
        """
        INSERT INTO voucher_recipients AS r (voucher_id, recipient_hash, given)
        VALUES (%(voucher_id)s, %(recipient_hash)s, 1)
        ON CONFLICT (voucher_id, recipient_hash) DO UPDATE SET given = r.given + 1
        RETURNING given
        """,
        voucher_id=voucher_id,
        recipient_hash=recipient_hash,
    )
    if most and given > most:
        raise refusals.recipient_limit_reached(limit=most, ordered=given - 1)


async def offer_order(
    connection: Connection,
    *,
    order_id: UUID,
    giver_id: UUID,
    wallet_voucher_ids: Sequence[UUID],
    gift: Gift,
) -> None:
    """Begins to offer the vouchers of an order that is a gift, in the transaction that completes it.

    They were counted for the recipient when the order was placed.
    """
    gift_ids = {wallet_id: new_id() for wallet_id in wallet_voucher_ids}
    offered = await put_on_offer(connection, member_id=giver_id, gift_ids=gift_ids)
    await _insert(connection, offered, giver_id=giver_id, notice_id=order_id, gift=gift)


async def _insert(
    connection: Connection, offered: Sequence[OnOffer], *, giver_id: UUID, notice_id: UUID, gift: Gift
) -> None:
    rows = [
        {
            "id": one.gift_id,
            "wallet_voucher_id": one.id,
            "voucher_id": one.voucher_id,
            "order_id": one.order_id,
            "code_id": one.code_id,
        }
        for one in offered
    ]
    await execute(
        connection,
        """
        INSERT INTO gifts (
          id, wallet_voucher_id, voucher_id, order_id, code_id, giver_id, notice_id, recipient_hash,
          recipient_name, message, state, returns_at
        )
        SELECT
          id, wallet_voucher_id, voucher_id, order_id, code_id, %(giver_id)s, %(notice_id)s,
          %(recipient_hash)s, %(recipient_name)s, %(message)s, 'OFFERING', now() + %(lasts)s
        FROM jsonb_to_recordset(%(rows)s) AS g (
          id uuid, wallet_voucher_id uuid, voucher_id uuid, order_id uuid, code_id uuid
        )
        """,
        rows=_json(rows),
        giver_id=giver_id,
        notice_id=notice_id,
        recipient_hash=gift.recipient_hash,
        recipient_name=gift.recipient_name,
        message=gift.message,
        lasts=gift.lasts,
    )
    for one in offered:
        await advance_later(connection, one.gift_id)


async def advance_later(connection: Connection, gift_id: UUID) -> None:
    """Queues the job that does what a gift's state asks for."""
    await jobs.defer(connection, ADVANCE_JOB, lock=f"{ADVANCE_JOB}:{gift_id}", gift_id=str(gift_id))


async def forget_recipient_later(connection: Connection, order_id: UUID) -> None:
    """Has identity forget to whom an order would have been, which brought nothing."""
    await jobs.defer(connection, FORGET_JOB, notice_id=str(order_id))


async def set_offered(connection: Connection, gift_id: UUID, *, expires_at: datetime | None) -> None:
    """OFFERING -> OFFERED: its code is on hold. One whose code expires before returns then."""
    await execute(
        connection,
        """
        UPDATE gifts SET state = 'OFFERED', returns_at = least(returns_at, %(expires_at)s::timestamptz)
        WHERE id = %(id)s AND state = 'OFFERING'
        """,
        id=gift_id,
        expires_at=expires_at,
    )


async def accept_gift(
    connection: Connection, gift_id: UUID, *, receiver_id: UUID, recipient_hash: bytes
) -> None:
    """OFFERED -> ACCEPTING, for the member whose number it is for; a repetition changes nothing.

    Raises GIFT_NOT_FOUND, and GIFT_ENDED when its time is over or it could not be accepted.
    """
    accepted = await execute(
        connection,
        """
        UPDATE gifts SET state = 'ACCEPTING', receiver_id = %(receiver_id)s
        WHERE id = %(id)s AND state = 'OFFERED' AND recipient_hash = %(recipient_hash)s
          AND now() < returns_at
        """,
        id=gift_id,
        receiver_id=receiver_id,
        recipient_hash=recipient_hash,
    )
    if accepted:
        await advance_later(connection, gift_id)
        return
    found = await _find(connection, gift_id, receiver_id, recipient_hash)
    if found.receiver_id != receiver_id or found.state in ("RETURNING", "RETURNED"):
        raise refusals.gift_ended(gift_id)


async def set_accepted(connection: Connection, gift: GiftStep) -> None:
    """ACCEPTING -> ACCEPTED: the voucher is in the recipient's wallet, and name and number are erased."""
    assert gift.receiver_id is not None, "somebody accepts it"
    accepted = await execute(
        connection,
        """
        UPDATE gifts SET state = 'ACCEPTED', recipient_hash = NULL, recipient_name = '', ended_at = now()
        WHERE id = %(id)s AND state = 'ACCEPTING'
        """,
        id=gift.id,
    )
    if accepted:
        await hand_over(
            connection,
            wallet_voucher_id=gift.wallet_voucher_id,
            gift_id=gift.id,
            member_id=gift.receiver_id,
        )


async def decline_gift(
    connection: Connection, gift_id: UUID, *, receiver_id: UUID, recipient_hash: bytes
) -> None:
    """Returns a gift to its giver, as the member whose number it is for; a repetition changes nothing.

    Raises GIFT_NOT_FOUND and GIFT_ACCEPTED.
    """
    found = await _find(connection, gift_id, receiver_id, recipient_hash)
    if not await _end(connection, [found], "OFFERED", receiver_id=receiver_id):
        found = await _find(connection, gift_id, receiver_id, recipient_hash)
        if found.state in ("ACCEPTING", "ACCEPTED"):
            raise refusals.gift_accepted(gift_id)


async def withdraw_gift(connection: Connection, gift_id: UUID, *, giver_id: UUID) -> None:
    """Returns a gift that is still on offer to its giver; a repetition changes nothing.

    Raises GIFT_NOT_FOUND and GIFT_ACCEPTED.
    """
    found = await find_step(connection, gift_id)
    if found is None or found.giver_id != giver_id:
        raise refusals.gift_not_found(gift_id)
    if not await _end(connection, [found], "OFFERING", "OFFERED"):
        after = await find_step(connection, gift_id)
        if after is None or after.state in ("ACCEPTING", "ACCEPTED"):
            raise refusals.gift_accepted(gift_id)


async def end_refused(connection: Connection, gift: GiftStep, refusal: DomainError) -> None:
    """Returns a gift to its giver whose code can not be put on hold, or not be handed over."""
    kept = None
    if gift.state == "OFFERING":
        kept = {"reason": refusal.reason, "message": refusal.message, **refusal.metadata}
    await _end(connection, [gift], gift.state, refusal=kept)


async def end_gifts_of_order(connection: Connection, order_id: UUID) -> None:
    """Returns what is still on offer of the vouchers of an order that is refunded."""
    open_gifts = await fetch_all(
        connection,
        GiftStep,
        SQL("SELECT {columns} FROM gifts g WHERE g.order_id = %(order_id)s AND g.ended_at IS NULL").format(
            columns=STEP
        ),
        order_id=order_id,
    )
    await _end(connection, open_gifts, "OFFERING", "OFFERED", "ACCEPTING")


async def return_overdue_gifts(connection: Connection) -> int:
    """Returns gifts to their givers that were not accepted in time, 100 at most; returns how many."""
    overdue = await fetch_all(connection, GiftStep, _OVERDUE, limit=_AT_ONCE)
    return len(await _end(connection, overdue, "OFFERED"))


_OVERDUE = SQL(
    """
    SELECT {columns} FROM gifts g WHERE g.state = 'OFFERED' AND g.returns_at <= now()
    ORDER BY g.returns_at LIMIT %(limit)s
    """
).format(columns=STEP)

_END = """
    WITH due AS MATERIALIZED (
      SELECT id FROM gifts WHERE id = ANY(%(ids)s) AND state = ANY(%(states)s)
      ORDER BY id FOR NO KEY UPDATE
    ), ended AS (
      UPDATE gifts AS g SET
        state = 'RETURNING', recipient_hash = NULL, recipient_name = '', message = '', ended_at = now(),
        receiver_id = coalesce(%(receiver_id)s, g.receiver_id), refusal = %(refusal)s
      FROM due WHERE g.id = due.id
      RETURNING g.id, g.voucher_id, old.recipient_hash AS recipient_hash
    ), uncounted AS (
      UPDATE voucher_recipients r SET given = r.given - n.pieces
      FROM (
        SELECT voucher_id, recipient_hash, count(*) AS pieces FROM ended GROUP BY voucher_id, recipient_hash
      ) AS n
      WHERE r.voucher_id = n.voucher_id AND r.recipient_hash = n.recipient_hash
    )
    SELECT id FROM ended
"""


@dataclass(frozen=True, slots=True)
class _Ended:
    id: UUID


async def _end(
    connection: Connection,
    gifts: Sequence[GiftStep],
    *states: str,
    receiver_id: UUID | None = None,
    refusal: dict[str, Any] | None = None,
) -> Sequence[_Ended]:
    """Begins to return those of these gifts that are in one of these states; returns which.

    What the giver wrote and the number are erased, and the recipient may be given another.
    """
    if not gifts:
        return []
    await lock_vouchers(connection, {gift.voucher_id for gift in gifts})
    ended = await fetch_all(
        connection,
        _Ended,
        _END,
        ids=[gift.id for gift in gifts],
        states=list(states),
        receiver_id=receiver_id,
        refusal=_json(refusal) if refusal else None,
    )
    for one in ended:
        await advance_later(connection, one.id)
    return ended


async def set_returned(connection: Connection, gift: GiftStep) -> None:
    """RETURNING -> RETURNED: the giver has the voucher as before."""
    returned = await execute(
        connection,
        "UPDATE gifts SET state = 'RETURNED' WHERE id = %(id)s AND state = 'RETURNING'",
        id=gift.id,
    )
    if returned:
        await end_offer(connection, wallet_voucher_id=gift.wallet_voucher_id, gift_id=gift.id)


_FOR_MEMBER = SQL(
    """
    SELECT {columns} FROM gifts g
    WHERE g.id = %(id)s AND g.state <> 'OFFERING'
      AND (g.recipient_hash = %(recipient_hash)s OR g.receiver_id = %(receiver_id)s)
    """
).format(columns=STEP)


async def _find(connection: Connection, gift_id: UUID, receiver_id: UUID, recipient_hash: bytes) -> GiftStep:
    found = await fetch_first(
        connection,
        GiftStep,
        _FOR_MEMBER,
        id=gift_id,
        receiver_id=receiver_id,
        recipient_hash=recipient_hash,
    )
    if found is None:
        raise refusals.gift_not_found(gift_id)
    return found


async def on_member_event(connection: Connection, event: MemberEvent) -> None:
    """Erases what was written with gifts that have ended, of a member who is gone."""
    if isinstance(event, Closed):
        await execute(
            connection,
            """
            UPDATE gifts SET message = ''
            WHERE ended_at IS NOT NULL AND (receiver_id = %(member_id)s OR giver_id = %(member_id)s)
            """,
            member_id=event.member_id,
        )


def _json(value: object) -> Jsonb:
    return Jsonb(value, dumps=orjson.dumps)
