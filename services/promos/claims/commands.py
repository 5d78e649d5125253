"""Making discounts, changing them, and letting members claim them or not."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never
from uuid import UUID

from services.common import audit
from services.common.caller import Caller
from services.common.db import Connection, execute
from services.common.errors import invalid_field
from services.common.etags import require_etag
from services.common.ids import new_id
from services.promos.benefits import Benefit
from services.promos.brand_access import require_own_brand
from services.promos.brands import require_brand
from services.promos.claims.queries import DiscountRow, DiscountState, get_discount, lock_discount
from services.promos.claims.refusals import discount_ended
from services.promos.codes import (
    CodeSetChanges,
    change_code_set,
    lock_code_set,
    make_code_set,
    stop_making,
)


@dataclass(frozen=True, slots=True)
class NewDiscount:
    """A discount as its brand wants it. `pattern` is None for codes as they are by default."""

    name: str
    description: str
    benefit: Benefit
    quantity: int
    pattern: str | None
    starts_at: datetime | None
    ends_at: datetime | None
    codes_expire_at: datetime | None
    valid_days: int | None


@dataclass(frozen=True, slots=True)
class DiscountChanges:
    """What shall be otherwise: None stays as it is, what is named in `clear` is emptied."""

    name: str | None = None
    description: str | None = None
    quantity: int | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    clear: Collection[str] = ()

    def applied_to(self, row: DiscountRow) -> DiscountRow:
        """Returns the discount as it shall be."""
        return replace(
            row,
            name=row.name if self.name is None else self.name,
            description="" if "description" in self.clear else self.description or row.description,
            quantity=row.quantity if self.quantity is None else self.quantity,
            starts_at=None if "starts_at" in self.clear else self.starts_at or row.starts_at,
            ends_at=None if "ends_at" in self.clear else self.ends_at or row.ends_at,
        )


async def create_discount(
    connection: Connection, *, actor: Caller, brand_id: UUID, new: NewDiscount
) -> DiscountRow:
    """Makes a discount as a draft, has its codes made in the background, and returns it.

    Raises BRAND_NOT_YOURS, BRAND_NOT_FOUND, BRAND_ARCHIVED, CODE_PATTERN_TOO_SMALL, and VALIDATION_FAILED for
    a pattern that can not be read and (by constraint) for a window that ends before it starts.
    """
    require_own_brand(actor, brand_id)
    await require_brand(connection, brand_id)
    discount_id = new_id()
    await make_code_set(
        connection,
        discount_id,
        purpose="DISCOUNT",
        benefit=new.benefit,
        expires_at=new.codes_expire_at,
        name=new.name,
        brand_id=brand_id,
        pattern=new.pattern,
        quantity=new.quantity,
        valid_days=new.valid_days,
    )
    await execute(
        connection,
        """
        INSERT INTO discounts (id, brand_id, name, description, quantity, starts_at, ends_at)
        VALUES (
          %(id)s, %(brand_id)s, %(name)s, %(description)s, %(quantity)s, %(starts_at)s, %(ends_at)s
        )
        """,
        id=discount_id,
        brand_id=brand_id,
        name=new.name,
        description=new.description,
        quantity=new.quantity,
        starts_at=new.starts_at,
        ends_at=new.ends_at,
    )
    await audit.record(
        connection,
        actor,
        "discount.created",
        discount_id,
        brand_id=brand_id,
        name=new.name,
        quantity=new.quantity,
    )
    return await get_discount(connection, brand_id, discount_id)


async def update_discount(
    connection: Connection,
    *,
    actor: Caller,
    brand_id: UUID,
    discount_id: UUID,
    etag: str,
    changes: DiscountChanges,
) -> DiscountRow:
    """Changes a discount; where nothing is different, nothing is audited either.

    Raises BRAND_NOT_YOURS, DISCOUNT_NOT_FOUND, ETAG_MISMATCH, BRAND_ARCHIVED, DISCOUNT_ENDED,
    CODE_PATTERN_TOO_SMALL, and VALIDATION_FAILED for fewer codes than there were to be and (by constraint)
    for a window that ends before it starts.
    """
    before = await _changeable(connection, actor, brand_id, discount_id, etag)
    await require_brand(connection, brand_id)
    after = changes.applied_to(before)
    if after == before:
        return before
    if before.state == "ENDED":
        raise discount_ended(discount_id)
    if after.quantity < before.quantity:
        raise invalid_field("quantity", f"must not be less than {before.quantity}: codes stay")
    if (after.quantity, after.name) != (before.quantity, before.name):
        code_set = await lock_code_set(connection, discount_id)
        more = after.quantity - before.quantity
        await change_code_set(
            connection, code_set, CodeSetChanges(name=after.name, quantity=code_set.wanted + more)
        )
    await execute(
        connection,
        """
        UPDATE discounts SET
          name = %(name)s, description = %(description)s, quantity = %(quantity)s,
          starts_at = %(starts_at)s, ends_at = %(ends_at)s, version = version + 1
        WHERE id = %(id)s
        """,
        id=discount_id,
        name=after.name,
        description=after.description,
        quantity=after.quantity,
        starts_at=after.starts_at,
        ends_at=after.ends_at,
    )
    changed = {
        field: getattr(after, field)
        for field in ("name", "description", "quantity", "starts_at", "ends_at")
        if getattr(after, field) != getattr(before, field)
    }
    await audit.record(connection, actor, "discount.updated", discount_id, **changed)
    return await get_discount(connection, brand_id, discount_id)


async def change_discount_state(
    connection: Connection,
    *,
    actor: Caller,
    brand_id: UUID,
    discount_id: UUID,
    etag: str,
    state: DiscountState,
) -> DiscountRow:
    """Brings a discount into a state and returns it; when it is in it already, nothing changes.

    One that ends gets no more codes made. Raises BRAND_NOT_YOURS, DISCOUNT_NOT_FOUND, ETAG_MISMATCH,
    BRAND_ARCHIVED for one that shall be active, and DISCOUNT_ENDED for one that has ended and shall not stay
    so.
    """
    before = await _changeable(connection, actor, brand_id, discount_id, etag)
    if state == "ACTIVE":
        await require_brand(connection, brand_id)
    if before.state == state:
        return before
    if before.state == "ENDED":
        raise discount_ended(discount_id)
    await execute(
        connection,
        "UPDATE discounts SET state = %(state)s, version = version + 1 WHERE id = %(id)s",
        id=discount_id,
        state=state,
    )
    if state == "ENDED":
        await stop_making(connection, discount_id)
    await audit.record(connection, actor, _action(state), discount_id)
    return await get_discount(connection, brand_id, discount_id)


async def _changeable(
    connection: Connection, actor: Caller, brand_id: UUID, discount_id: UUID, etag: str
) -> DiscountRow:
    """Returns the discount, locked: no claim is under way from now to the commit."""
    require_own_brand(actor, brand_id)
    before = await lock_discount(connection, brand_id, discount_id)
    require_etag(etag, before.etag, of="discount")
    return before


def _action(state: DiscountState) -> str:
    match state:
        case "DRAFT":
            raise AssertionError("nothing becomes a draft again")
        case "ACTIVE":
            return "discount.activated"
        case "PAUSED":
            return "discount.paused"
        case "ENDED":
            return "discount.ended"
        case _:
            assert_never(state)
