"""Giving a purchase that was recorded without a member to one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from services.common.errors import DomainError
from services.common.legacy_db import Connection
from services.points.ledger.commands.move_points import Entry, add_lot, credit
from services.points.programme import MAX_POINTS
from services.points.purchases.purchase import (
    Balance,
    Purchase,
    ReceiptKey,
    SignedCode,
    balance_limit_reached,
    claim_code_not_valid,
    claim_expired,
    member_code_replayed,
    member_code_unknown,
    purchase_claimed,
)


@dataclass(frozen=True, slots=True)
class ShownCode:
    """The member code that a till sent: its fingerprint, and what identity said of a signed one."""

    fingerprint: bytes
    signed: SignedCode | None


@dataclass(frozen=True, slots=True)
class Claimant:
    """Who claims. By a code shown at the till, or in person, with the claim code."""

    member_id: UUID
    shown: ShownCode | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """The answer to a claim, and the member's balance now."""

    purchase: Purchase
    now: Balance


@dataclass(frozen=True, slots=True)
class _Kept:
    """The purchase; until it is claimed its own id is its owner's."""

    owner: UUID
    key: ReceiptKey
    purchase: Purchase


# The rows of a purchase move to its member. The receipt comes last: a recording that repeats it waits for
# this row, and may itself hold the account.
_MOVE = (
    text(
        "UPDATE purchases SET member_id = :member_id, number = :number, points = :points, bonus = :bonus,"
        " lot_id = :lot_id, balance_after = :balance_after"
        " WHERE member_id = :purchase_id AND id = :purchase_id"
    ),
    text(
        "UPDATE purchase_items SET member_id = :member_id"
        " WHERE member_id = :purchase_id AND purchase_id = :purchase_id"
    ),
    text(
        "UPDATE refunds SET member_id = :member_id"
        " WHERE member_id = :purchase_id AND purchase_id = :purchase_id"
    ),
    text(
        "UPDATE unclaimed_purchases SET claimed_by = :member_id, claimed_with = :claimed_with"
        " WHERE purchase_id = :purchase_id"
    ),
    text(
        "UPDATE receipts SET member_id = :member_id WHERE client_id = :client_id"
        " AND till_number = :till_number AND receipt_number = :receipt_number"
    ),
)


async def claim_purchase(
    connection: Connection,
    purchase_id: UUID,
    claimant: Claimant,
    *,
    bonus: int,
    expires_at: datetime | None,
) -> Claimed:
    """Makes a purchase, which exists, the claimant's, and credits what its lines left earn.

    `bonus` comes on top when it is the member's first that earns; `expires_at` is when the points expire,
    or None for never. A repetition gets the first answer, also after the claim's time.

    At the till it raises PURCHASE_CLAIMED, CLAIM_EXPIRED, MEMBER_CODE_REPLAYED, and MEMBER_CODE_UNKNOWN for
    a member who is out; in person CLAIM_CODE_NOT_VALID for another's, CLAIM_EXPIRED, ACCOUNT_SUSPENDED and
    ACCOUNT_CLOSED. Both raise BALANCE_LIMIT_REACHED.
    """
    locked = await connection.execute(
        text(
            "SELECT claim_until, claim_until < now() AS expired FROM unclaimed_purchases"
            " WHERE purchase_id = :purchase_id FOR UPDATE"
        ),
        {"purchase_id": purchase_id},
    )
    claim = locked.first()
    kept = await _kept(connection, purchase_id)
    if kept.owner == claimant.member_id:
        return await _repeat(connection, kept)
    if claim is None or kept.owner != purchase_id:
        raise purchase_claimed() if claimant.shown else claim_code_not_valid()
    if claim.expired:
        raise claim_expired(claim.claim_until)
    await _require_active(connection, claimant)
    if claimant.shown and claimant.shown.signed:
        await _bind(connection, claimant.shown.signed, kept)
    return await _give(connection, kept, claimant, bonus=bonus, expires_at=expires_at)


async def _kept(connection: Connection, purchase_id: UUID) -> _Kept:
    """As it is once the lock is held."""
    found = await connection.execute(
        text(
            "SELECT member_id, client_id, id, receipt_number, till_number, sold_at, recorded_at,"
            " currency_code, total_minor, eligible_minor, points, earn_rule, balance_after, bonus"
            " FROM purchases WHERE id = :purchase_id"
        ),
        {"purchase_id": purchase_id},
    )
    owner, client_id, *columns = found.one()
    purchase = Purchase(*columns)
    return _Kept(owner, ReceiptKey(client_id, purchase.till_number, purchase.receipt_number), purchase)


async def _repeat(connection: Connection, kept: _Kept) -> Claimed:
    found = await connection.execute(
        text("SELECT version, balance, debt FROM accounts WHERE member_id = :member_id"),
        {"member_id": kept.owner},
    )
    return Claimed(kept.purchase, Balance(kept.owner, *found.one()))


async def _require_active(connection: Connection, claimant: Claimant) -> None:
    """Locks what is known of the member, so that the event that tells it is out comes before or after."""
    found = await connection.execute(
        text("SELECT status FROM members WHERE member_id = :member_id FOR SHARE"),
        {"member_id": claimant.member_id},
    )
    status = found.scalar_one_or_none() or "ACTIVE"
    if status != "ACTIVE":
        raise _out(claimant, status)


def _out(claimant: Claimant, status: str) -> DomainError:
    """To the till as the code of nobody, to the member as each of its calls from now on."""
    if claimant.shown:
        return member_code_unknown()
    if status == "SUSPENDED":
        return DomainError("ACCOUNT_SUSPENDED", "the account is suspended")
    return DomainError("ACCOUNT_CLOSED", "the account is closed")


async def _bind(connection: Connection, signed: SignedCode, kept: _Kept) -> None:
    bound = await connection.execute(
        text(
            "INSERT INTO used_codes (code_id, client_id, till_number, receipt_number, purchase_id)"
            " VALUES (:code_id, :client_id, :till_number, :receipt_number, :purchase_id)"
            " ON CONFLICT DO NOTHING RETURNING 1"
        ),
        {"code_id": signed.id, "purchase_id": kept.purchase.id, **kept.key._asdict()},
    )
    if bound.first() is None:
        raise member_code_replayed()


async def _give(
    connection: Connection, kept: _Kept, claimant: Claimant, *, bonus: int, expires_at: datetime | None
) -> Claimed:
    """Counts the purchase, credits it, and moves its rows."""
    earned = kept.purchase.points
    counted = await connection.execute(
        text(
            "INSERT INTO accounts AS a (member_id, balance, version, purchases, first_bonus)"
            " VALUES (:member_id, 0, 0, 1, :bonus) ON CONFLICT (member_id) DO UPDATE SET"
            " purchases = a.purchases + 1, first_bonus = coalesce(a.first_bonus, excluded.first_bonus)"
            " RETURNING purchases, version, balance, debt, closed, old.first_bonus IS NULL AS bonus_due"
        ),
        {"member_id": claimant.member_id, "bonus": bonus if earned else None},
    )
    account = counted.one()
    if account.closed:
        raise _out(claimant, "CLOSED")
    got_bonus = bonus if earned and account.bonus_due else 0
    if earned + got_bonus > MAX_POINTS:
        raise balance_limit_reached()
    now, lot_id = Balance(claimant.member_id, account.version, account.balance, account.debt), None
    if earned:
        entry = Entry("EARN", str(kept.purchase.id))
        moved = await credit(connection, claimant.member_id, earned + got_bonus, entry)
        await add_lot(connection, moved, expires_at)
        now, lot_id = moved.now, moved.sequence if moved.lot_points else None
    purchase = replace(kept.purchase, points=earned + got_bonus, bonus=got_bonus, balance_after=now.balance)
    row = {
        "purchase_id": purchase.id,
        "member_id": claimant.member_id,
        "number": account.purchases,
        "points": purchase.points,
        "bonus": purchase.bonus,
        "lot_id": lot_id,
        "balance_after": purchase.balance_after,
        "claimed_with": claimant.shown.fingerprint if claimant.shown else None,
        **kept.key._asdict(),
    }
    for statement in _MOVE:
        await connection.execute(statement, row)
    return Claimed(purchase, now)
