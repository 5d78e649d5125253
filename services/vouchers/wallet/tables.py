"""Tables of the wallet."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from services.vouchers.tables import Base


class WalletVoucher(Base):
    """A voucher that a member owns. `number` counts those of an order from 1.

    `gift_id` is the gift that it is on offer as, `received_gift_id` the one that brought it.
    """

    __tablename__ = "wallet_vouchers"
    __table_args__ = (
        UniqueConstraint("order_id", "number"),
        Index("ix_wallet_vouchers_member_id", "member_id", "acquired_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"))
    number: Mapped[int] = mapped_column(server_default="1")
    voucher_id: Mapped[UUID] = mapped_column(ForeignKey("vouchers.id"), index=True)
    member_id: Mapped[UUID]
    code_id: Mapped[UUID] = mapped_column(unique=True)
    acquired_at: Mapped[datetime] = mapped_column(server_default=func.now())
    gift_id: Mapped[UUID | None]
    received_gift_id: Mapped[UUID | None]


class WalletCode(Base):
    """A copy of what promos knows of an order's code, of the newest `version` that was heard of.

    `code` is NULL while only promos' message has come: the text is asked for when a wallet first shows it.
    """

    __tablename__ = "wallet_codes"
    __table_args__ = (CheckConstraint("state IN ('USABLE', 'USED', 'EXPIRED', 'VOID')", name="state_known"),)

    code_id: Mapped[UUID] = mapped_column(primary_key=True)
    code: Mapped[str | None]
    state: Mapped[str]
    version: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[datetime | None]
