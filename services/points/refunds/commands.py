"""Refunding a purchase, or a part of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.types.json import Jsonb

from services.common import audit, texts
from services.common.caller import Caller
from services.common.db import Connection, execute, fetch_first, fetch_one, fetch_value
from services.common.errors import DomainError, invalid_field
from services.common.ids import utc_now
from services.points.earning import Terms
from services.points.ledger import (
    Balance,
    Entry,
    EntryKind,
    LockedAccount,
    TakenBack,
    get_lot,
    lock_account,
    take_back,
)
from services.points.programme import Programme
from services.points.purchases import (
    KeptPurchase,
    get_kept_purchase,
    get_sold_lines,
    lock_unclaimed,
    lower_expected_points,
    note_returned,
)
from services.points.refunds.rules import (
    Cover,
    Refund,
    Returned,
    Standing,
    afterwards,
    amount,
    cover,
    due,
    returned,
)

VOID = "VOID"
"""The refund number of what voids a purchase."""


@dataclass(frozen=True, slots=True)
class NewRefund:
    """A refund as it came in. No `lines` is all that is left of the purchase, no `refunded_at` is now."""

    purchase_id: UUID
    number: str
    fingerprint: bytes
    lines: Sequence[Returned]
    reason: str
    actor: Caller
    refunded_at: datetime | None = None
    voids: bool = False


@dataclass(frozen=True, slots=True)
class Refunded:
    """The result of a refund, and the balance now of the member; None of both when there was none."""

    refund: Refund
    balance_after: int | None
    now: Balance | None


@dataclass(frozen=True, slots=True)
class _Locked:
    """The purchase, which nobody else refunds or claims until the commit, and its member's account."""

    kept: KeptPurchase
    account: LockedAccount | None


@dataclass(frozen=True, slots=True)
class _RefundRow:
    fingerprint: bytes
    balance_after: int | None
    refund_number: str
    refunded_at: datetime
    recorded_at: datetime
    voids: bool
    lines: list[list[int]]
    amount_minor: int
    points: int
    taken: int
    owed: int
    expired: int
    waived: int
    reason: str


@dataclass(frozen=True, slots=True)
class _Times:
    refunded_at: datetime
    recorded_at: datetime


async def refund_purchase(
    connection: Connection, new: NewRefund, *, terms: Terms, programme: Programme
) -> Refunded:
    """Refunds once per purchase and refund number; a repetition gets the first result.

    `terms` are the rules that judged the purchase, which exists. Goods of a purchase that is not claimed
    have earned nothing yet; what it will earn is lowered.

    Raises REFUND_CONFLICT, REFUND_TIME_OUT_OF_RANGE, NOTHING_TO_REFUND, REFUND_EXCEEDS_PURCHASE, and
    VALIDATION_FAILED for a line that is not there.
    """
    locked = await _lock(connection, new.purchase_id)
    owner = locked.kept.owner
    repeated = await _repeat(connection, locked, new)
    if repeated:
        return repeated
    _refuse_what_is_new_and_wrong(new)
    if new.refunded_at:
        programme.require_refund_time(new.refunded_at, sold_at=locked.kept.purchase.sold_at, now=utc_now())
    lines = await get_sold_lines(connection, owner, new.purchase_id)
    back = returned(lines, new.lines)
    after = afterwards(lines, back)
    points = due(terms, locked.kept.purchase.bonus, lines, after)
    came = [Returned.of(line, back[line.number]) for line in lines if line.number in back]
    await note_returned(connection, owner, new.purchase_id, {one.line: one.in_own_unit for one in came})
    now: Balance | None = None
    covered = Cover()
    if locked.account is None:
        await lower_expected_points(connection, new.purchase_id, points)
    else:
        standing = await _standing(connection, locked.account, locked.kept)
        covered = cover(points, standing, programme.refund_policy, programme.balance_floor)
        now = await take_back(
            connection,
            locked.account.now,
            locked.kept.lot_id,
            TakenBack(covered.own, covered.others, covered.below_zero, covered.owed),
            Entry(EntryKind.REFUND, str(new.purchase_id), new.reason or None),
        )
    balance_after = now.balance if now else None
    refund = await _write(
        connection,
        owner,
        new,
        back=came,
        amount_minor=amount(lines, after),
        covered=covered,
        balance_after=balance_after,
    )
    if new.actor.is_staff:
        await audit.record(
            connection,
            new.actor,
            "purchase.voided" if new.voids else "purchase.refunded",
            new.purchase_id,
            refund_number=new.number,
            points=refund.points,
            amount_minor=refund.amount_minor,
            reason=new.reason,
        )
    return Refunded(refund, balance_after, now)


def _refuse_what_is_new_and_wrong(new: NewRefund) -> None:
    """Raises VALIDATION_FAILED for what a refund of before may have had, whose repetition gets its answer."""
    if new.number == VOID and not new.voids:
        raise invalid_field("refund_number", f"{VOID} is the number of what voids a purchase")
    if fault := texts.fault(new.reason):
        raise invalid_field("reason", fault)


async def move_refunds(connection: Connection, purchase_id: UUID, member_id: UUID) -> None:
    """Moves the refunds of a purchase without a member to the member who claims it."""
    await execute(
        connection,
        """
        UPDATE refunds SET member_id = %(member_id)s
        WHERE member_id = %(purchase_id)s AND purchase_id = %(purchase_id)s
        """,
        member_id=member_id,
        purchase_id=purchase_id,
    )


async def _lock(connection: Connection, purchase_id: UUID) -> _Locked:
    """Locks the purchase as long as it is nobody's, and else its member's account.

    Whose it is may change until then, and never afterwards.
    """
    await lock_unclaimed(connection, purchase_id)
    kept = await get_kept_purchase(connection, purchase_id)
    return _Locked(kept, await lock_account(connection, kept.owner) if kept.has_member else None)


async def _repeat(connection: Connection, locked: _Locked, new: NewRefund) -> Refunded | None:
    """Returns the first result, if there was one."""
    row = await fetch_first(
        connection,
        _RefundRow,
        """
        SELECT fingerprint, balance_after, refund_number, refunded_at,
          coalesce(recorded_at, refunded_at) AS recorded_at, voids, lines, amount_minor, points, taken, owed,
          expired, waived, reason
        FROM refunds
        WHERE member_id = %(owner)s AND purchase_id = %(purchase_id)s AND refund_number = %(number)s
        """,
        owner=locked.kept.owner,
        purchase_id=new.purchase_id,
        number=new.number,
    )
    if row is None:
        return None
    if row.fingerprint != new.fingerprint:
        raise DomainError(
            "REFUND_CONFLICT",
            f"refund {new.number} was recorded before with other content",
            refund_number=new.number,
        )
    refund = Refund(
        number=row.refund_number,
        refunded_at=row.refunded_at,
        recorded_at=row.recorded_at,
        voids=row.voids,
        lines=[Returned(*line) for line in row.lines],
        amount_minor=row.amount_minor,
        points=row.points,
        taken=row.taken,
        owed=row.owed,
        expired=row.expired,
        waived=row.waived,
        reason=row.reason,
    )
    return Refunded(refund, row.balance_after, locked.account.now if locked.account else None)


async def _standing(connection: Connection, account: LockedAccount, kept: KeptPurchase) -> Standing:
    """Must see the lots as they are once the account is locked."""
    lot = await get_lot(connection, account.member_id, kept.lot_id)
    counted = await fetch_value(
        connection,
        """
        SELECT coalesce(sum(expired), 0)::int FROM refunds
        WHERE member_id = %(owner)s AND purchase_id = %(purchase_id)s
        """,
        owner=kept.owner,
        purchase_id=kept.purchase.id,
    )
    return Standing(
        balance=account.balance,
        debt=account.debt,
        closed=account.closed,
        lot_left=lot.remaining,
        lot_expired=lot.expired - counted,
    )


async def _write(
    connection: Connection,
    owner: UUID,
    new: NewRefund,
    *,
    back: Sequence[Returned],
    amount_minor: int,
    covered: Cover,
    balance_after: int | None,
) -> Refund:
    times = await fetch_one(
        connection,
        _Times,
        """
        INSERT INTO refunds (member_id, purchase_id, refund_number, fingerprint, lines, amount_minor,
          points, taken, owed, expired, waived, reason, actor_id, actor_role, balance_after, refunded_at,
          voids)
        VALUES (%(owner)s, %(purchase_id)s, %(number)s, %(fingerprint)s, %(lines)s, %(amount_minor)s,
          %(points)s, %(taken)s, %(owed)s, %(expired)s, %(waived)s, %(reason)s, %(actor_id)s, %(actor_role)s,
          %(balance_after)s, coalesce(%(refunded_at)s::timestamptz, now()), %(voids)s)
        RETURNING refunded_at, recorded_at
        """,
        owner=owner,
        purchase_id=new.purchase_id,
        number=new.number,
        fingerprint=new.fingerprint,
        lines=Jsonb([one.stored() for one in back]),
        amount_minor=amount_minor,
        points=covered.points,
        taken=covered.taken,
        owed=covered.owed,
        expired=covered.expired,
        waived=covered.waived,
        reason=new.reason,
        actor_id=new.actor.subject,
        actor_role=new.actor.role,
        balance_after=balance_after,
        refunded_at=new.refunded_at,
        voids=new.voids,
    )
    return Refund(
        number=new.number,
        refunded_at=times.refunded_at,
        recorded_at=times.recorded_at,
        voids=new.voids,
        lines=back,
        amount_minor=amount_minor,
        points=covered.points,
        taken=covered.taken,
        owed=covered.owed,
        expired=covered.expired,
        waived=covered.waived,
        reason=new.reason,
    )
