"""Tables of codes."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from services.promos.tables import Base


class CodeSet(Base):
    """Codes that take off the same, under the same conditions.

    `purpose` tells what they are for. The id is its owner's: a voucher's, a campaign's or a discount's; a
    HANDED_OUT set has its own. `brand_id` is set for a brand's. `made` counts the codes that the background
    has made, until it is `wanted + voided`; a campaign's codes are made with the win and are counted nowhere.
    `made_at` is when the last batch was made, `made_per_second` the rate of the last few.
    `valid_days` is how long a code is good after it was given to its owner, within the set's window.
    `version` counts what staff change.
    """

    __tablename__ = "code_sets"
    __table_args__ = (
        CheckConstraint(
            "(percent_off IS NULL) <> (amount_off_minor IS NULL)"
            " AND (num_nonnulls(amount_off_minor, minimum_spend_minor, maximum_discount_minor) > 0)"
            " = (currency_code IS NOT NULL)",
            name="one_benefit",
        ),
        CheckConstraint(
            "minimum_spend_minor > 0 AND (maximum_discount_minor IS NULL OR percent_off IS NOT NULL)"
            " AND maximum_discount_minor > 0",
            name="terms_make_sense",
        ),
        CheckConstraint("purpose IN ('VOUCHER', 'CAMPAIGN', 'DISCOUNT', 'HANDED_OUT')", name="purpose_known"),
        CheckConstraint("expires_at > starts_at", name="window"),
        CheckConstraint("valid_days > 0", name="valid_days_positive"),
        CheckConstraint("uses_per_member > 0", name="uses_per_member_positive"),
        Index(
            "ix_code_sets_brand_id", "brand_id", "created_at", postgresql_where=text("brand_id IS NOT NULL")
        ),
        CheckConstraint("percent_off BETWEEN 1 AND 100", name="percent_off_in_range"),
        CheckConstraint("amount_off_minor > 0", name="amount_off_positive"),
        CheckConstraint("wanted >= 0 AND voided >= 0 AND made >= 0", name="counts_not_negative"),
        CheckConstraint("uses_allowed > 0", name="uses_allowed_positive"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    amount_off_minor: Mapped[int | None] = mapped_column(BigInteger)
    currency_code: Mapped[str | None]
    percent_off: Mapped[int | None] = mapped_column(SmallInteger)
    minimum_spend_minor: Mapped[int | None] = mapped_column(BigInteger)
    maximum_discount_minor: Mapped[int | None] = mapped_column(BigInteger)
    categories: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    first_purchase_only: Mapped[bool] = mapped_column(server_default="false")
    exclusive: Mapped[bool] = mapped_column(server_default="false")
    purpose: Mapped[str]
    name: Mapped[str] = mapped_column(server_default="")
    brand_id: Mapped[UUID | None]
    pattern: Mapped[str | None]
    enabled: Mapped[bool] = mapped_column(server_default="true")
    starts_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    valid_days: Mapped[int | None]
    uses_allowed: Mapped[int] = mapped_column(server_default="1")
    uses_per_member: Mapped[int | None]
    wanted: Mapped[int] = mapped_column(server_default="0")
    voided: Mapped[int] = mapped_column(server_default="0")
    made: Mapped[int] = mapped_column(server_default="0")
    made_at: Mapped[datetime | None]
    made_per_second: Mapped[float | None]
    version: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Code(Base):
    """A code. READY codes have no owner and are worth nothing to anybody; BEARER codes, of HANDED_OUT sets,
    are good for whoever brings them; ASSIGNED ones have an owner.

    `shuffle` spreads takers: each starts at a point of its own, so that they do not meet. `expires_at` is
    the code's own end, within that of its set. `version` counts the changes of its state and its uses.
    `gift_id` is the gift that it is on hold for.
    `void_reason` is ORDER_RELEASED, ACCOUNT_CLOSED or STAFF, who left a note; `import_id` the file that the
    code came in.
    """

    __tablename__ = "codes"
    __table_args__ = (
        CheckConstraint("state IN ('READY', 'BEARER', 'ASSIGNED', 'VOID')", name="state_known"),
        CheckConstraint("uses BETWEEN 0 AND uses_allowed", name="uses_within_allowed"),
        CheckConstraint("state <> 'READY' OR uses = 0", name="uses_only_when_given"),
        CheckConstraint(
            "CASE WHEN state = 'ASSIGNED' THEN owner_member_id IS NOT NULL"
            " ELSE state = 'VOID' OR owner_member_id IS NULL END",
            name="owned_when_assigned",
        ),
        Index("ix_codes_ready", "code_set_id", "shuffle", postgresql_where=text("state = 'READY'")),
        Index("ix_codes_order_id", "order_id", postgresql_where=text("order_id IS NOT NULL")),
        Index("ix_codes_code_set_id", "code_set_id", "id"),
        Index("ix_codes_given", "code_set_id", "state", "id", postgresql_where=text("state <> 'READY'")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    code_set_id: Mapped[UUID] = mapped_column(ForeignKey("code_sets.id"))
    code: Mapped[str] = mapped_column(unique=True)
    shuffle: Mapped[int]
    state: Mapped[str]
    owner_member_id: Mapped[UUID | None]
    order_id: Mapped[UUID | None]
    uses: Mapped[int] = mapped_column(server_default="0")
    uses_allowed: Mapped[int]
    expires_at: Mapped[datetime | None]
    assigned_at: Mapped[datetime | None]
    voided_at: Mapped[datetime | None]
    voided_by: Mapped[UUID | None]
    void_reason: Mapped[str | None]
    voided_by_role: Mapped[str | None]
    void_note: Mapped[str | None]
    import_id: Mapped[UUID | None]
    version: Mapped[int] = mapped_column(server_default="1")
    gift_id: Mapped[UUID | None]


class Assignment(Base):
    """That an order has codes, or must never get any (RELEASED)."""

    __tablename__ = "assignments"
    __table_args__ = (
        CheckConstraint("state IN ('ASSIGNED', 'RELEASED')", name="state_known"),
        CheckConstraint(
            "state = 'RELEASED' OR (code_set_id IS NOT NULL AND owner_member_id IS NOT NULL"
            " AND quantity IS NOT NULL)",
            name="assigned_is_whole",
        ),
    )

    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    code_set_id: Mapped[UUID | None]
    owner_member_id: Mapped[UUID | None]
    quantity: Mapped[int | None]
    state: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    released_at: Mapped[datetime | None]


class CodeHold(Base):
    """That a code is on hold for a gift (HELD), was given to another member, or must never be (RETURNED)."""

    __tablename__ = "code_holds"
    __table_args__ = (
        CheckConstraint("state IN ('HELD', 'TRANSFERRED', 'RETURNED')", name="state_known"),
        CheckConstraint("state = 'RETURNED' OR code_id IS NOT NULL", name="held_is_whole"),
        CheckConstraint(
            "(state = 'TRANSFERRED') = (new_owner_id IS NOT NULL)", name="transferred_to_somebody"
        ),
    )

    gift_id: Mapped[UUID] = mapped_column(primary_key=True)
    code_id: Mapped[UUID | None]
    new_owner_id: Mapped[UUID | None]
    state: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    ended_at: Mapped[datetime | None]


class Redemption(Base):
    """One use of a code, for one sale at one till.

    `caller_id` is who redeemed it, `till_number` which of its tills, `member_id` the code's owner or the
    member who was shown at the till. `code_set_id` is the code's, kept here too so that the redemptions of a
    set are found by time. `counted` says that it counts in `member_uses`: the set limited the uses of members
    when it was redeemed. `discount_minor` is what it took off, and `basket_hash` a fingerprint of the sale,
    where the till sent it.
    """

    __tablename__ = "redemptions"
    __table_args__ = (
        # The reference stands first, because staff look for sales by it alone.
        UniqueConstraint("sale_reference", "caller_id", "till_number", "code_id", name="uq_redemptions_sale"),
        CheckConstraint("NOT counted OR member_id IS NOT NULL", name="counted_for_a_member"),
        Index("ix_redemptions_code_id", "code_id", "redeemed_at"),
        Index("ix_redemptions_code_set_id", "code_set_id", "redeemed_at", "id"),
        Index("ix_redemptions_caller_id", "caller_id", "redeemed_at", "id"),
        Index("ix_redemptions_redeemed_at", "redeemed_at", "id"),
        Index(
            "ix_redemptions_cancelled", "redeemed_at", "id", postgresql_where=text("cancelled_at IS NOT NULL")
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    code_id: Mapped[UUID] = mapped_column(ForeignKey("codes.id"))
    code_set_id: Mapped[UUID]
    caller_id: Mapped[UUID]
    till_number: Mapped[str] = mapped_column(server_default="")
    sale_reference: Mapped[str]
    redeemed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    caller_role: Mapped[str] = mapped_column(server_default="till")
    cancelled_at: Mapped[datetime | None]
    cancelled_by: Mapped[UUID | None]
    cancelled_by_role: Mapped[str | None]
    member_id: Mapped[UUID | None]
    discount_minor: Mapped[int | None] = mapped_column(BigInteger)
    currency_code: Mapped[str | None]
    basket_hash: Mapped[bytes | None]
    counted: Mapped[bool] = mapped_column(server_default="false")


class MemberUses(Base):
    """How often a member has redeemed codes of a set while it was limited; redemptions that stand count."""

    __tablename__ = "member_uses"
    __table_args__ = (CheckConstraint("uses >= 0", name="uses_not_negative"),)

    code_set_id: Mapped[UUID] = mapped_column(ForeignKey("code_sets.id"), primary_key=True)
    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    uses: Mapped[int]
