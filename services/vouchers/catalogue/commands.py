"""Offering something."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from services.common import audit, jobs
from services.common.caller import Caller
from services.common.db import Connection, execute
from services.common.ids import new_id
from services.vouchers.catalogue.queries import BuyType, PriceRule, VoucherRow, get_voucher

ENSURE_CODES_JOB = "ensure_codes"


@dataclass(frozen=True, slots=True)
class NewVoucher:
    """What staff want to offer. `benefit` is a message of promos, None when codes take the face value off."""

    title: str
    description: str
    face_value_minor: int | None
    currency_code: str
    benefit: Mapping[str, Any] | None
    price_points: int
    price_minor: int | None
    price_rule: PriceRule
    quantity: int
    max_per_member: int
    buy_type: BuyType
    max_gifts_per_recipient: int
    sale_starts_at: datetime | None
    sale_ends_at: datetime | None
    codes_expire_at: datetime | None
    valid_days: int
    cancel_days: int
    draft: bool


async def create_voucher(connection: Connection, *, actor: Caller, new: NewVoucher) -> VoucherRow:
    """Creates a voucher, has its codes made, and returns it.

    Without a start it is on sale at once, unless it is a draft.
    """
    voucher_id = new_id()
    await execute(
        connection,
        """
        INSERT INTO vouchers (
          id, title, description, face_value_minor, currency_code, benefit, price_points, price_minor,
          price_rule, quantity, max_per_member, buy_type, max_gifts_per_recipient, sale_starts_at,
          sale_ends_at, codes_expire_at, valid_days, cancel_days, state
        ) VALUES (
          %(id)s, %(title)s, %(description)s, %(face_value_minor)s, %(currency_code)s, %(benefit)s,
          %(price_points)s, %(price_minor)s, %(price_rule)s, %(quantity)s, %(max_per_member)s, %(buy_type)s,
          %(max_gifts_per_recipient)s, coalesce(%(sale_starts_at)s::timestamptz, now()), %(sale_ends_at)s,
          %(codes_expire_at)s, %(valid_days)s, %(cancel_days)s,
          CASE WHEN %(draft)s THEN 'DRAFT' ELSE 'ACTIVE' END
        )
        """,
        id=voucher_id,
        **asdict(new) | {"benefit": new.benefit and Jsonb(new.benefit)},
    )
    await audit.record(
        connection, actor, "voucher.created", voucher_id, title=new.title, quantity=new.quantity
    )
    await jobs.defer(connection, ENSURE_CODES_JOB, voucher_id=str(voucher_id))
    return await get_voucher(connection, voucher_id)
