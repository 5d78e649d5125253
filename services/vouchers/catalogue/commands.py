"""Offering something."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from services.common import audit, jobs
from services.common.caller import Caller
from services.common.db import Connection, execute
from services.common.ids import new_id
from services.vouchers.catalogue.queries import VoucherRow, get_voucher

ENSURE_CODES_JOB = "ensure_codes"


@dataclass(frozen=True, slots=True)
class NewVoucher:
    """What staff want to offer."""

    title: str
    description: str
    face_value_minor: int
    currency_code: str
    price_points: int
    quantity: int
    sale_starts_at: datetime | None
    sale_ends_at: datetime | None
    codes_expire_at: datetime | None


async def create_voucher(connection: Connection, *, actor: Caller, new: NewVoucher) -> VoucherRow:
    """Creates a voucher, has its codes made, and returns it. Without a start it is on sale at once."""
    voucher_id = new_id()
    await execute(
        connection,
        """
        INSERT INTO vouchers (
          id, title, description, face_value_minor, currency_code, price_points, quantity,
          sale_starts_at, sale_ends_at, codes_expire_at
        ) VALUES (
          %(id)s, %(title)s, %(description)s, %(face_value_minor)s, %(currency_code)s, %(price_points)s,
          %(quantity)s, coalesce(%(sale_starts_at)s::timestamptz, now()), %(sale_ends_at)s,
          %(codes_expire_at)s
        )
        """,
        id=voucher_id,
        **asdict(new),
    )
    await audit.record(
        connection, actor, "voucher.created", voucher_id, title=new.title, quantity=new.quantity
    )
    await jobs.defer(connection, ENSURE_CODES_JOB, voucher_id=str(voucher_id))
    return await get_voucher(connection, voucher_id)
