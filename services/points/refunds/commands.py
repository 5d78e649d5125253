"""Refunding a purchase, or a part of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson
from sqlalchemy import text

from services.common import audit
from services.common.caller import Caller
from services.common.errors import DomainError
from services.common.legacy_db import Connection
from services.points.earning.earning import Terms
from services.points.ledger.commands.move_points import Entry, take_oldest, write_entry
from services.points.programme import Programme
from services.points.purchases.purchase import Balance, Item
from services.points.refunds.refund import Books, Cover, Line, Refund, Returned, amount, cover, due, returned


@dataclass(frozen=True, slots=True)
class NewRefund:
    """A refund as it came in. No `lines` is all that is left of the purchase."""

    purchase_id: UUID
    number: str
    fingerprint: bytes
    lines: Sequence[Returned]
    reason: str
    actor: Caller


@dataclass(frozen=True, slots=True)
class Refunded:
    """The answer to a refund, and the balance now of the member, if there is one."""

    refund: Refund
    balance_after: int
    now: Balance | None


@dataclass(frozen=True, slots=True)
class _Account:
    now: Balance
    closed: bool


@dataclass(frozen=True, slots=True)
class _Locked:
    """The purchase, which nobody else refunds or claims until the commit.

    `owner` is the id under which its rows stand; without an account it is not claimed yet.
    """

    owner: UUID
    bonus: int
    lot_id: int | None
    account: _Account | None


async def refund_purchase(
    connection: Connection, new: NewRefund, *, terms: Terms, programme: Programme
) -> Refunded:
    """Refunds once per purchase and refund number; a repetition gets the first answer.

    `terms` are the rules that judged the purchase, which exists. Goods of a purchase that is not claimed
    have earned nothing yet; what it will earn is lowered.

    Raises REFUND_CONFLICT, NOTHING_TO_REFUND, REFUND_EXCEEDS_PURCHASE, and VALIDATION_FAILED for a line
    that is not there.
    """
    locked = await _lock(connection, new.purchase_id)
    kept = await _repeat(connection, locked, new)
    if kept:
        return kept
    lines = await _lines(connection, locked.owner, new.purchase_id)
    back = returned(lines, new.lines)
    points = due(terms, locked.bonus, lines, back)
    await _take_back(connection, locked.owner, new.purchase_id, back)
    now: Balance | None = None
    covered = Cover()
    if locked.account is None:
        await _lower(connection, new.purchase_id, points)
    else:
        books = await _books(connection, locked, locked.account, new.purchase_id)
        covered = cover(points, books, programme.refund_policy, programme.balance_floor)
        now = await _take_points(connection, locked, locked.account.now, covered, new)
    balance_after = now.balance if now else 0
    refund = await _write(
        connection,
        locked.owner,
        new,
        back=back,
        amount_minor=amount(lines, back),
        covered=covered,
        balance_after=balance_after,
    )
    if new.actor.is_staff:
        await audit.record(
            connection,
            new.actor,
            "purchase.refunded",
            new.purchase_id,
            refund_number=new.number,
            points=refund.points,
            amount_minor=refund.amount_minor,
            reason=new.reason,
        )
    return Refunded(refund, balance_after, now)


async def _lock(connection: Connection, purchase_id: UUID) -> _Locked:
    """Locks the purchase as long as it is nobody's, and else its member's account.

    Whose it is may change until then, and never afterwards.
    """
    row = {"purchase_id": purchase_id}
    await connection.execute(
        text("SELECT 1 FROM unclaimed_purchases WHERE purchase_id = :purchase_id FOR UPDATE"), row
    )
    found = await connection.execute(
        text("SELECT member_id, bonus, lot_id FROM purchases WHERE id = :purchase_id"), row
    )
    purchase = found.one()
    if purchase.member_id == purchase_id:
        return _Locked(purchase_id, purchase.bonus, purchase.lot_id, None)
    locked = await connection.execute(
        text("SELECT balance, debt, version, closed FROM accounts WHERE member_id = :member_id FOR UPDATE"),
        {"member_id": purchase.member_id},
    )
    account = locked.one()
    now = Balance(purchase.member_id, account.version, account.balance, account.debt)
    return _Locked(purchase.member_id, purchase.bonus, purchase.lot_id, _Account(now, account.closed))


async def _repeat(connection: Connection, locked: _Locked, new: NewRefund) -> Refunded | None:
    """The first answer, if there was one."""
    found = await connection.execute(
        text(
            "SELECT fingerprint, balance_after, refund_number, refunded_at, lines, amount_minor, points,"
            " taken, owed, expired, waived, reason FROM refunds"
            " WHERE member_id = :owner AND purchase_id = :purchase_id AND refund_number = :number"
        ),
        {"owner": locked.owner, "purchase_id": new.purchase_id, "number": new.number},
    )
    row = found.first()
    if row is None:
        return None
    kept_fingerprint, balance_after, number, refunded_at, lines, *figures = row
    if bytes(kept_fingerprint) != new.fingerprint:
        raise DomainError(
            "REFUND_CONFLICT",
            f"refund {new.number} was recorded before with other content",
            refund_number=new.number,
        )
    refund = Refund(number, refunded_at, [Returned(*line) for line in lines], *figures)
    return Refunded(refund, balance_after, locked.account.now if locked.account else None)


async def _lines(connection: Connection, owner: UUID, purchase_id: UUID) -> Sequence[Line]:
    rows = await connection.execute(
        text(
            "SELECT line, quantity - refunded, sku, name, category, unit_price_minor, quantity, alcohol"
            " FROM purchase_items WHERE member_id = :owner AND purchase_id = :purchase_id ORDER BY line"
        ),
        {"owner": owner, "purchase_id": purchase_id},
    )
    return [Line(line, Item(*item), left) for line, left, *item in rows]


async def _take_back(connection: Connection, owner: UUID, purchase_id: UUID, back: Mapping[int, int]) -> None:
    taken = await connection.execute(
        text(
            "UPDATE purchase_items i SET refunded = i.refunded + g.quantity"
            " FROM unnest(CAST(:lines AS smallint[]), CAST(:quantities AS int[])) AS g (line, quantity)"
            " WHERE i.member_id = :owner AND i.purchase_id = :purchase_id AND i.line = g.line"
            " AND i.refunded + g.quantity <= i.quantity"
        ),
        {
            "owner": owner,
            "purchase_id": purchase_id,
            "lines": list(back),
            "quantities": list(back.values()),
        },
    )
    if taken.rowcount != len(back):
        raise AssertionError(f"purchase {purchase_id} was refunded by somebody else, in spite of the lock")


async def _lower(connection: Connection, purchase_id: UUID, points: int) -> None:
    """Of a purchase without a member: what it will earn."""
    await connection.execute(
        text(
            "UPDATE purchases SET points = points - :points"
            " WHERE member_id = :purchase_id AND id = :purchase_id"
        ),
        {"purchase_id": purchase_id, "points": points},
    )


async def _books(connection: Connection, locked: _Locked, account: _Account, purchase_id: UUID) -> Books:
    """Must see the lots as they are once the account is locked."""
    found = await connection.execute(
        text(
            "SELECT coalesce(sum(l.remaining), 0) AS remaining, coalesce(sum(l.expired), 0)"
            " - (SELECT coalesce(sum(r.expired), 0) FROM refunds r"
            " WHERE r.member_id = :owner AND r.purchase_id = :purchase_id) AS expired"
            " FROM lots l WHERE l.member_id = :owner AND l.id = :lot_id"
        ),
        {"owner": locked.owner, "purchase_id": purchase_id, "lot_id": locked.lot_id},
    )
    lot = found.one()
    return Books(account.now.balance, account.now.debt, account.closed, lot.remaining, lot.expired)


async def _take_points(
    connection: Connection, locked: _Locked, before: Balance, covered: Cover, new: NewRefund
) -> Balance:
    """Takes them out of the lots and the account, and tells the ledger; nothing when none move."""
    if covered.own:
        await connection.execute(
            text("UPDATE lots SET remaining = remaining - :points WHERE member_id = :owner AND id = :lot_id"),
            {"points": covered.own, "owner": locked.owner, "lot_id": locked.lot_id},
        )
    if covered.others:
        await take_oldest(connection, locked.owner, covered.others)
    if not covered.taken and not covered.owed:
        return before
    changed = await connection.execute(
        text(
            "UPDATE accounts SET balance = balance - :taken, debt = debt + :owed, version = version + 1"
            " WHERE member_id = :owner RETURNING version, balance, debt"
        ),
        {"taken": covered.taken, "owed": covered.owed, "owner": locked.owner},
    )
    now = Balance(locked.owner, *changed.one())
    entry = Entry("REFUND", str(new.purchase_id), new.reason or None)
    await write_entry(connection, now, -covered.taken, covered.owed, entry)
    return now


async def _write(
    connection: Connection,
    owner: UUID,
    new: NewRefund,
    *,
    back: Mapping[int, int],
    amount_minor: int,
    covered: Cover,
    balance_after: int,
) -> Refund:
    lines = [Returned(line, quantity) for line, quantity in sorted(back.items())]
    written = await connection.execute(
        text(
            "INSERT INTO refunds (member_id, purchase_id, refund_number, fingerprint, lines, amount_minor,"
            " points, taken, owed, expired, waived, reason, actor_id, actor_role, balance_after)"
            " VALUES (:owner, :purchase_id, :number, :fingerprint, CAST(:lines AS jsonb), :amount_minor,"
            " :points, :taken, :owed, :expired, :waived, :reason, :actor_id, :actor_role, :balance_after)"
            " RETURNING refunded_at"
        ),
        {
            "owner": owner,
            "purchase_id": new.purchase_id,
            "number": new.number,
            "fingerprint": new.fingerprint,
            "lines": orjson.dumps([list(line) for line in lines]).decode(),
            "amount_minor": amount_minor,
            "points": covered.points,
            "taken": covered.taken,
            "owed": covered.owed,
            "expired": covered.expired,
            "waived": covered.waived,
            "reason": new.reason,
            "actor_id": new.actor.subject,
            "actor_role": new.actor.role,
            "balance_after": balance_after,
        },
    )
    return Refund(
        new.number,
        written.scalar_one(),
        lines,
        amount_minor,
        covered.points,
        covered.taken,
        covered.owed,
        covered.expired,
        covered.waived,
        new.reason,
    )
