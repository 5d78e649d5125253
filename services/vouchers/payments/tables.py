"""Tables of payments."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, SmallInteger, func, text
from sqlalchemy.orm import Mapped, mapped_column

from services.vouchers.tables import Base


class PaymentMethod(Base):
    """A way to pay with money; `version` counts its changes."""

    __tablename__ = "payment_methods"
    __table_args__ = (CheckConstraint("position >= 0", name="position_positive"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    provider: Mapped[str]
    active: Mapped[bool]
    position: Mapped[int]
    description: Mapped[str]
    version: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    archived_at: Mapped[datetime | None]


class PaymentDiscount(Base):
    """What a payment method takes off the price of a voucher: a part of the order, or so much off each."""

    __tablename__ = "payment_discounts"
    __table_args__ = (
        CheckConstraint("(percent_off IS NULL) <> (amount_off_minor IS NULL)", name="one_kind"),
        CheckConstraint("percent_off BETWEEN 1 AND 100", name="percent_in_range"),
        CheckConstraint("amount_off_minor > 0", name="amount_positive"),
    )

    voucher_id: Mapped[UUID] = mapped_column(ForeignKey("vouchers.id"), primary_key=True)
    payment_method_id: Mapped[UUID] = mapped_column(ForeignKey("payment_methods.id"), primary_key=True)
    percent_off: Mapped[int | None] = mapped_column(SmallInteger)
    amount_off_minor: Mapped[int | None] = mapped_column(BigInteger)
    currency_code: Mapped[str]
    version: Mapped[int] = mapped_column(server_default="1")


class Payment(Base):
    """The payment of an order, by the order's id, as it was decided here.

    `asked_at` is when the provider was last asked to authorise it, NULL when never. `check_at` is when the
    provider is asked next where it stands, or told that the payment was given up; NULL when nothing is open.
    `settled_at` is when the provider had given back, or did not have, what was given up.
    """

    __tablename__ = "payments"
    __table_args__ = (
        CheckConstraint(
            "state IN ('CREATED', 'ACTION_REQUIRED', 'AUTHORISED', 'CAPTURED', 'DECLINED', 'VOIDED',"
            " 'REFUNDED')",
            name="state_known",
        ),
        CheckConstraint("amount_minor > 0", name="amount_positive"),
        CheckConstraint("(state = 'DECLINED') = (decline_code IS NOT NULL)", name="declined_with_code"),
        Index("ix_payments_open", "check_at", postgresql_where=text("check_at IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    payment_method_id: Mapped[UUID] = mapped_column(ForeignKey("payment_methods.id"))
    provider: Mapped[str]
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    currency_code: Mapped[str]
    state: Mapped[str]
    provider_reference: Mapped[str] = mapped_column(server_default="")
    redirect_url: Mapped[str] = mapped_column(server_default="")
    decline_code: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    asked_at: Mapped[datetime | None]
    authorised_at: Mapped[datetime | None]
    captured_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    settled_at: Mapped[datetime | None]
    check_at: Mapped[datetime | None]
    checks: Mapped[int] = mapped_column(server_default="0")
    version: Mapped[int] = mapped_column(server_default="1")


class SandboxPayment(Base):
    """A payment as the sandbox has it, which stands for a system outside: nothing else reads this table.

    One that was voided before it was made has neither amount nor currency.
    """

    __tablename__ = "sandbox_payments"
    __table_args__ = (
        CheckConstraint(
            "state IN ('ACTION_REQUIRED', 'AUTHORISED', 'CAPTURED', 'DECLINED', 'VOIDED', 'REFUNDED')",
            name="state_known",
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    currency_code: Mapped[str]
    state: Mapped[str]
    decline_code: Mapped[str] = mapped_column(server_default="")
    token: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
