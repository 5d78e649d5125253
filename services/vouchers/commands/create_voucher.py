"""Offering something."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from services.common import audit, jobs
from services.common.caller import Caller
from services.common.ids import new_id
from services.common.legacy_db import Connection
from services.vouchers.queries import VoucherRow, get_voucher

ENSURE_CODES_JOB = "ensure_codes"


@dataclass(frozen=True)
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
    """Creates a voucher and has its codes made."""
    voucher_id = new_id()
    await connection.execute(
        text(
            "INSERT INTO vouchers (id, title, description, face_value_minor, currency_code, price_points,"
            " quantity, sale_starts_at, sale_ends_at, codes_expire_at) VALUES (:id, :title, :description,"
            " :face_value_minor, :currency_code, :price_points, :quantity,"
            " coalesce(CAST(:sale_starts_at AS timestamptz), now()), :sale_ends_at, :codes_expire_at)"
        ),
        {"id": voucher_id, **vars(new)},
    )
    await audit.record(
        connection, actor, "voucher.created", voucher_id, title=new.title, quantity=new.quantity
    )
    await jobs.defer(connection, ENSURE_CODES_JOB, voucher_id=str(voucher_id))
    return await get_voucher(connection, voucher_id)
