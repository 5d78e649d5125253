"""Tables of the ledger: accounts, entries, lots and debits."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, false, func
from sqlalchemy.orm import Mapped, mapped_column

from services.points.tables import Base


class Account(Base):
    """A member's balance: the sum of the ledger. A transaction that moves points locks this row first.

    Points that a refund takes back and the balance can not give go, by the programme's policy, below
    zero or into `debt`; whatever is credited pays that first. A debit never takes the balance below zero.
    """

    __tablename__ = "accounts"
    __table_args__ = (
        CheckConstraint("balance >= -2147483647", name="balance_floor"),
        CheckConstraint("debt >= 0", name="debt_floor"),
        CheckConstraint("debt <= 2147483647", name="debt_limit"),
        CheckConstraint("debt = 0 OR balance <= 0", name="debt_paid_first"),
        CheckConstraint("balance <= 2147483647", name="balance_limit"),
        CheckConstraint("balance = 0 OR NOT closed", name="closed_empty"),
    )

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    balance: Mapped[int] = mapped_column(BigInteger)  # wider than its limit, so that the limit has a name
    version: Mapped[int] = mapped_column(BigInteger)  # number of ledger entries
    purchases: Mapped[int] = mapped_column(BigInteger)  # number of purchases
    closed: Mapped[bool] = mapped_column(server_default=false())  # its member is gone: it stays empty
    debt: Mapped[int] = mapped_column(BigInteger, server_default="0")
    first_bonus: Mapped[int | None]  # what the first purchase that earned got on top; none before it


class LedgerEntry(Base):
    """A movement of points. Entries are never changed."""

    __tablename__ = "ledger_entries"
    __table_args__ = (
        CheckConstraint(
            "kind IN ('EARN', 'SPEND', 'SPEND_UNDONE', 'FORFEIT', 'REFUND', 'ADJUST', 'EXPIRE')",
            name="kind_known",
        ),
        CheckConstraint("delta <> 0 OR debt_delta <> 0", name="delta_moves"),
        # Most entries are earned; those of other kinds can be listed without reading past them.
        Index("ix_ledger_entries_kind", "member_id", "kind", "sequence", postgresql_where="kind <> 'EARN'"),
        # Finds about where in a member's entries a time is; with every entry it would slow each purchase.
        Index(
            "ix_ledger_entries_time",
            "member_id",
            "occurred_at",
            "sequence",
            postgresql_where="sequence % 64 = 0",
        ),
    )

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    kind: Mapped[str]
    delta: Mapped[int]
    balance_after: Mapped[int]
    reference: Mapped[str]
    occurred_at: Mapped[datetime] = mapped_column(server_default=func.now())
    debt_delta: Mapped[int] = mapped_column(server_default="0")  # its sum is the account's debt
    reason: Mapped[str | None]


class Lot(Base):
    """Points that were credited together. Its id is the sequence of the entry that credited them.

    What a credit paid of a debt or of a negative balance is in no lot.
    """

    __tablename__ = "lots"
    __table_args__ = (
        CheckConstraint("remaining >= 0 AND expired >= 0", name="remaining_floor"),
        CheckConstraint("remaining + expired <= earned", name="remaining_range"),
        Index("ix_lots_open", "member_id", "id", postgresql_where="remaining > 0"),
        Index(
            "ix_lots_due",
            "expires_at",
            "member_id",
            postgresql_where="remaining > 0 AND expires_at IS NOT NULL",
        ),
    )

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    earned: Mapped[int]
    remaining: Mapped[int]
    earned_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    expired: Mapped[int] = mapped_column(server_default="0")


class Debit(Base):
    """What became of an order's points.

    Keyed by the order alone: one order must not be debited to two members, and only a key can prevent it.
    """

    __tablename__ = "debits"
    __table_args__ = (
        CheckConstraint("state IN ('DEBITED', 'UNDONE')", name="state_known"),
        CheckConstraint("points > 0 OR state = 'UNDONE'", name="points_taken"),
    )

    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    member_id: Mapped[UUID]
    points: Mapped[int]  # 0 when the order was undone before it was debited
    state: Mapped[str]
    balance_after: Mapped[int | None]


class DebitLot(Base):
    """How many points a debit took from which lot."""

    __tablename__ = "debit_lots"
    __table_args__ = (CheckConstraint("points > 0", name="points_taken"),)

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    lot_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    points: Mapped[int]
