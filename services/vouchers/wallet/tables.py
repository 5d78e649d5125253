"""Tables of the wallet."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from services.vouchers.tables import Base


class WalletVoucher(Base):
    """A voucher that a member owns."""

    __tablename__ = "wallet_vouchers"
    __table_args__ = (Index("ix_wallet_vouchers_member_id", "member_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), unique=True)
    voucher_id: Mapped[UUID] = mapped_column(ForeignKey("vouchers.id"), index=True)
    member_id: Mapped[UUID]
    code_id: Mapped[UUID] = mapped_column(unique=True)
    acquired_at: Mapped[datetime] = mapped_column(server_default=func.now())
