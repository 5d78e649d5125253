"""Giving a purchase that was recorded without a member to one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from services.common.db import Connection, fetch_value
from services.common.errors import DomainError
from services.points.claims.refusals import claim_code_not_valid, claim_expired, purchase_claimed
from services.points.ledger import Balance, Entry, EntryKind, add_lot, count_purchase, credit, get_balance
from services.points.programme import MAX_POINTS, balance_limit_reached
from services.points.purchases import (
    KeptPurchase,
    NewOwner,
    Purchase,
    SignedCode,
    bind_code,
    get_kept_purchase,
    give_to_member,
    lock_unclaimed,
    member_code_replayed,
    member_code_unknown,
)
from services.points.refunds import move_refunds


@dataclass(frozen=True, slots=True)
class ShownCode:
    """The member code that a till sent: its fingerprint, and identity's reading of a signed one."""

    fingerprint: bytes
    signed: SignedCode | None


@dataclass(frozen=True, slots=True)
class Claimant:
    """Who claims. By a code shown at the till, or in person, with the claim code."""

    member_id: UUID
    shown: ShownCode | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """The result of a claim, and the member's balance now."""

    purchase: Purchase
    now: Balance


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
    or None for never. A repetition gets the first result, also after the claim's time.

    At the till it raises PURCHASE_CLAIMED, CLAIM_EXPIRED, MEMBER_CODE_REPLAYED, and MEMBER_CODE_UNKNOWN for
    a member who is out; in person CLAIM_CODE_NOT_VALID for another's, CLAIM_EXPIRED, ACCOUNT_SUSPENDED and
    ACCOUNT_CLOSED. Both raise BALANCE_LIMIT_REACHED.
    """
    claimable = await lock_unclaimed(connection, purchase_id)
    kept = await get_kept_purchase(connection, purchase_id)
    if kept.owner == claimant.member_id:
        return Claimed(kept.purchase, await get_balance(connection, kept.owner))
    if claimable is None or kept.has_member:
        raise purchase_claimed() if claimant.shown else claim_code_not_valid()
    if claimable.expired:
        raise claim_expired(claimable.claim_until)
    await _require_active(connection, claimant)
    if claimant.shown and claimant.shown.signed:
        bound = await bind_code(connection, claimant.shown.signed.id, kept)
        if not bound:
            raise member_code_replayed()
    return await _give(connection, kept, claimant, bonus=bonus, expires_at=expires_at)


async def _require_active(connection: Connection, claimant: Claimant) -> None:
    """Locks what is known of the member, so that the event of its leaving comes before or after."""
    status = await fetch_value(
        connection,
        "SELECT status FROM members WHERE member_id = %(member_id)s FOR SHARE",
        member_id=claimant.member_id,
    )
    if status not in {None, "ACTIVE"}:
        raise _out(claimant, status)


def _out(claimant: Claimant, status: str) -> DomainError:
    """To the till as the code of nobody, to the member as each of its calls from now on."""
    if claimant.shown:
        return member_code_unknown()
    if status == "SUSPENDED":
        return DomainError("ACCOUNT_SUSPENDED", "the account is suspended")
    return DomainError("ACCOUNT_CLOSED", "the account is closed")


async def _give(
    connection: Connection, kept: KeptPurchase, claimant: Claimant, *, bonus: int, expires_at: datetime | None
) -> Claimed:
    """Counts the purchase, credits it, and moves its rows."""
    earned = kept.purchase.points
    account = await count_purchase(connection, claimant.member_id, bonus if earned else None)
    if account.closed:
        raise _out(claimant, "CLOSED")
    got_bonus = bonus if earned and account.bonus_due else 0
    if earned + got_bonus > MAX_POINTS:
        raise balance_limit_reached()
    now, lot_id = Balance(claimant.member_id, account.version, account.balance, account.debt), None
    if earned:
        entry = Entry(EntryKind.EARN, str(kept.purchase.id))
        moved = await credit(connection, claimant.member_id, earned + got_bonus, entry)
        await add_lot(connection, moved, expires_at)
        now, lot_id = moved.now, moved.sequence if moved.lot_points else None
    purchase = replace(kept.purchase, points=earned + got_bonus, bonus=got_bonus, balance_after=now.balance)
    await move_refunds(connection, purchase.id, claimant.member_id)
    new = NewOwner(
        member_id=claimant.member_id,
        number=account.purchases,
        lot_id=lot_id,
        purchase=purchase,
        claimed_with=claimant.shown.fingerprint if claimant.shown else None,
    )
    await give_to_member(connection, kept.key, new)
    return Claimed(purchase, now)
