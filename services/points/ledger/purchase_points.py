"""What claims and refunds of purchases do to a member's account and lots."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.common.db import Connection, execute, fetch_first, fetch_one
from services.points.ledger.account import Balance
from services.points.ledger.commands.move_points import take_oldest, write_entry
from services.points.ledger.entries import Entry


@dataclass(frozen=True, slots=True)
class LockedAccount:
    """An account that nobody else changes until the commit."""

    member_id: UUID
    version: int
    balance: int
    debt: int
    closed: bool

    @property
    def now(self) -> Balance:
        """Its balance."""
        return Balance(self.member_id, self.version, self.balance, self.debt)


@dataclass(frozen=True, slots=True)
class CountedPurchase:
    """An account, locked, with one purchase more; whether that gets the bonus of the first that earns."""

    purchases: int
    version: int
    balance: int
    debt: int
    closed: bool
    bonus_due: bool


@dataclass(frozen=True, slots=True)
class LotState:
    """How many points of a lot can be spent, and how many have expired."""

    remaining: int
    expired: int


@dataclass(frozen=True, slots=True)
class TakenBack:
    """Points that a refund takes: from the purchase's own lot, other lots, below zero, and as a debt."""

    own: int
    others: int
    below_zero: int
    owed: int

    @property
    def taken(self) -> int:
        """Points taken from the balance."""
        return self.own + self.others + self.below_zero


async def lock_account(connection: Connection, member_id: UUID) -> LockedAccount:
    """Locks an account, which exists."""
    return await fetch_one(
        connection,
        LockedAccount,
        """
        SELECT member_id, version, balance, debt, closed FROM accounts
        WHERE member_id = %(member_id)s
        FOR UPDATE
        """,
        member_id=member_id,
    )


async def get_balance(connection: Connection, member_id: UUID) -> Balance:
    """Returns the balance of an account, which exists."""
    return await fetch_one(
        connection,
        Balance,
        "SELECT member_id, version, balance, debt FROM accounts WHERE member_id = %(member_id)s",
        member_id=member_id,
    )


async def count_purchase(connection: Connection, member_id: UUID, bonus: int | None) -> CountedPurchase:
    """Counts one purchase more, and locks the account. `bonus` is None for a purchase that earns nothing.

    The first purchase with a bonus of any size, also of 0, is the only one that gets it.
    """
    return await fetch_one(
        connection,
        CountedPurchase,
        """
        INSERT INTO accounts AS a (member_id, balance, version, purchases, first_bonus)
        VALUES (%(member_id)s, 0, 0, 1, %(bonus)s)
        ON CONFLICT (member_id) DO UPDATE SET
          purchases = a.purchases + 1,
          first_bonus = coalesce(a.first_bonus, excluded.first_bonus)
        RETURNING purchases, version, balance, debt, closed, old.first_bonus IS NULL AS bonus_due
        """,
        member_id=member_id,
        bonus=bonus,
    )


async def get_lot(connection: Connection, member_id: UUID, lot_id: int | None) -> LotState:
    """Returns what is left of a lot; nothing, when there is no lot. The account must be locked before."""
    lot = await fetch_first(
        connection,
        LotState,
        "SELECT remaining, expired FROM lots WHERE member_id = %(member_id)s AND id = %(lot_id)s",
        member_id=member_id,
        lot_id=lot_id,
    )
    return lot or LotState(0, 0)


async def take_back(
    connection: Connection, now: Balance, lot_id: int | None, back: TakenBack, entry: Entry
) -> Balance:
    """Takes points out of the lots and the account, and writes the entry; nothing when none move.

    The account, of which `now` is the balance, must be locked before.
    """
    if back.own:
        await execute(
            connection,
            """
            UPDATE lots SET remaining = remaining - %(points)s
            WHERE member_id = %(member_id)s AND id = %(lot_id)s
            """,
            points=back.own,
            member_id=now.member_id,
            lot_id=lot_id,
        )
    if back.others:
        await take_oldest(connection, now.member_id, back.others)
    if not back.taken and not back.owed:
        return now
    after = await fetch_one(
        connection,
        Balance,
        """
        UPDATE accounts SET
          balance = balance - %(taken)s,
          debt = debt + %(owed)s,
          version = version + 1
        WHERE member_id = %(member_id)s
        RETURNING member_id, version, balance, debt
        """,
        taken=back.taken,
        owed=back.owed,
        member_id=now.member_id,
    )
    await write_entry(connection, after, -back.taken, back.owed, entry)
    return after
