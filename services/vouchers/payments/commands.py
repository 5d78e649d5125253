"""Payment methods and their discounts, as staff change them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, assert_never
from uuid import UUID

from services.common import audit
from services.common.caller import Caller
from services.common.db import Connection, execute
from services.common.etags import require_etag
from services.common.ids import new_id
from services.vouchers.catalogue import is_on_sale, voucher_not_found
from services.vouchers.payments.discounts import AmountOff, MethodDiscount, PercentOff
from services.vouchers.payments.queries import (
    PaymentDiscountRow,
    PaymentMethodRow,
    find_discount,
    get_method,
    lock_method,
)
from services.vouchers.payments.refusals import payment_method_archived


@dataclass(frozen=True, slots=True)
class NewMethod:
    """What a payment method is made of."""

    name: str
    provider: str
    active: bool
    position: int
    description: str


async def create_method(connection: Connection, *, actor: Caller, new: NewMethod) -> PaymentMethodRow:
    """Creates a payment method and returns it."""
    method_id = new_id()
    await execute(
        connection,
        """
        INSERT INTO payment_methods (id, name, provider, active, position, description)
        VALUES (%(id)s, %(name)s, %(provider)s, %(active)s, %(position)s, %(description)s)
        """,
        id=method_id,
        name=new.name,
        provider=new.provider,
        active=new.active,
        position=new.position,
        description=new.description,
    )
    row = await get_method(connection, method_id)
    await audit.record(connection, actor, "payment_method.created", method_id, **_audited(row))
    return row


async def update_method(
    connection: Connection, *, actor: Caller, payment_method_id: UUID, etag: str, changes: Mapping[str, Any]
) -> PaymentMethodRow:
    """Changes the fields of a payment method that `changes` names, and returns it.

    Where nothing is different, nothing is audited either. Raises PAYMENT_METHOD_NOT_FOUND, ETAG_MISMATCH and
    PAYMENT_METHOD_ARCHIVED.
    """
    before = await lock_method(connection, payment_method_id)
    require_etag(etag, before.etag, of="payment method")
    if before.archived_at is not None:
        raise payment_method_archived(payment_method_id)
    after = replace(before, **changes)
    if after == before:
        return before
    await execute(
        connection,
        """
        UPDATE payment_methods SET
          name = %(name)s, active = %(active)s, position = %(position)s, description = %(description)s,
          version = version + 1
        WHERE id = %(id)s
        """,
        id=payment_method_id,
        name=after.name,
        active=after.active,
        position=after.position,
        description=after.description,
    )
    was, now = _audited(before), _audited(after)
    different = {field: [was[field], now[field]] for field in now if was[field] != now[field]}
    await audit.record(connection, actor, "payment_method.updated", payment_method_id, **different)
    return await get_method(connection, payment_method_id)


async def archive_method(
    connection: Connection, *, actor: Caller, payment_method_id: UUID, etag: str
) -> PaymentMethodRow:
    """Puts a payment method away for good and returns it; a repetition does nothing.

    Raises PAYMENT_METHOD_NOT_FOUND and ETAG_MISMATCH.
    """
    row = await lock_method(connection, payment_method_id)
    if row.archived_at is not None:
        return row
    require_etag(etag, row.etag, of="payment method")
    await execute(
        connection,
        """
        UPDATE payment_methods SET active = false, archived_at = now(), version = version + 1
        WHERE id = %(id)s
        """,
        id=payment_method_id,
    )
    await audit.record(connection, actor, "payment_method.archived", payment_method_id, name=row.name)
    return await get_method(connection, payment_method_id)


async def set_discount(
    connection: Connection,
    *,
    actor: Caller,
    voucher_id: UUID,
    payment_method_id: UUID,
    discount: MethodDiscount,
    currency_code: str,
    etag: str,
) -> PaymentDiscountRow:
    """Sets what a payment method takes off a voucher, and returns it; the same again changes nothing.

    Raises VOUCHER_NOT_FOUND, PAYMENT_METHOD_NOT_FOUND, PAYMENT_METHOD_ARCHIVED and ETAG_MISMATCH.
    """
    # Its lock makes two changes of a discount, which need not exist yet, wait for each other.
    method = await lock_method(connection, payment_method_id)
    if method.archived_at is not None:
        raise payment_method_archived(payment_method_id)
    await require_voucher(connection, voucher_id)
    before = await find_discount(connection, voucher_id, payment_method_id)
    require_etag(etag, before.etag if before else "", of="discount")
    if before and before.discount == discount:
        return before
    percent, amount = _parts(discount)
    await execute(
        connection,
        """
        INSERT INTO payment_discounts AS d
          (voucher_id, payment_method_id, percent_off, amount_off_minor, currency_code)
        VALUES (%(voucher_id)s, %(method_id)s, %(percent)s, %(amount)s, %(currency)s)
        ON CONFLICT (voucher_id, payment_method_id) DO UPDATE SET
          percent_off = excluded.percent_off, amount_off_minor = excluded.amount_off_minor,
          currency_code = excluded.currency_code, version = d.version + 1
        """,
        voucher_id=voucher_id,
        method_id=payment_method_id,
        percent=percent,
        amount=amount,
        currency=currency_code,
    )
    await audit.record(
        connection,
        actor,
        "payment_discount.set",
        voucher_id,
        payment_method_id=payment_method_id,
        percent_off=percent,
        amount_off_minor=amount,
        before=_parts(before.discount) if before else None,
    )
    after = await find_discount(connection, voucher_id, payment_method_id)
    assert after is not None, "it was written just now"
    return after


async def delete_discount(
    connection: Connection, *, actor: Caller, voucher_id: UUID, payment_method_id: UUID, etag: str
) -> None:
    """Takes a discount away; a repetition does nothing.

    Raises PAYMENT_METHOD_NOT_FOUND, and ETAG_MISMATCH when it is not as the caller read it.
    """
    await lock_method(connection, payment_method_id)
    before = await find_discount(connection, voucher_id, payment_method_id)
    if before is None:
        return
    require_etag(etag, before.etag, of="discount")
    await execute(
        connection,
        """
        DELETE FROM payment_discounts
        WHERE voucher_id = %(voucher_id)s AND payment_method_id = %(method_id)s
        """,
        voucher_id=voucher_id,
        method_id=payment_method_id,
    )
    await audit.record(
        connection,
        actor,
        "payment_discount.deleted",
        voucher_id,
        payment_method_id=payment_method_id,
        before=_parts(before.discount),
    )


async def require_voucher(connection: Connection, voucher_id: UUID) -> None:
    """Raises VOUCHER_NOT_FOUND when there is no such voucher, on sale or not. None is ever deleted."""
    if await is_on_sale(connection, voucher_id) is None:
        raise voucher_not_found(voucher_id)


def _parts(discount: MethodDiscount) -> tuple[int | None, int | None]:
    """Returns a discount as percent and minor units, one of them None."""
    match discount:
        case PercentOff(percent):
            return percent, None
        case AmountOff(amount_minor):
            return None, amount_minor
        case _:
            assert_never(discount)


def _audited(row: PaymentMethodRow) -> dict[str, Any]:
    """Returns what the audit list has of a payment method."""
    return {
        "name": row.name,
        "provider": row.provider,
        "active": row.active,
        "position": row.position,
        "description": row.description,
    }
