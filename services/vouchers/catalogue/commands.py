"""Creating and changing vouchers, and putting them on sale and off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, assert_never
from uuid import UUID

from psycopg.types.json import Jsonb

from services.common import audit
from services.common.caller import Caller
from services.common.db import Connection, execute
from services.common.errors import invalid_field
from services.common.etags import require_etag
from services.common.ids import new_id, utc_now
from services.common.search_words import remember_words
from services.vouchers.catalogue.changes import VoucherChanges, differences, require_possible
from services.vouchers.catalogue.code_stock import ask_for_codes
from services.vouchers.catalogue.queries import BuyType, PriceRule, VoucherRow, get_voucher, lock_voucher
from services.vouchers.catalogue.refusals import (
    voucher_archived,
    voucher_not_published,
    voucher_quantity_too_small,
    voucher_sale_over,
)
from services.vouchers.catalogue.search import words_of


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


async def create_voucher(
    connection: Connection, *, actor: Caller, new: NewVoucher, codes_ahead: int
) -> VoucherRow:
    """Creates a voucher, has its codes made unless it is a draft, and returns it.

    Without a start it is on sale at once, unless it is a draft.
    """
    voucher_id = new_id()
    await execute(
        connection,
        """
        INSERT INTO vouchers (
          id, title, description, face_value_minor, currency_code, benefit, price_points, price_minor,
          price_rule, quantity, max_per_member, buy_type, max_gifts_per_recipient, sale_starts_at,
          sale_ends_at, codes_expire_at, valid_days, cancel_days, state, words
        ) VALUES (
          %(id)s, %(title)s, %(description)s, %(face_value_minor)s, %(currency_code)s, %(benefit)s,
          %(price_points)s, %(price_minor)s, %(price_rule)s, %(quantity)s, %(max_per_member)s, %(buy_type)s,
          %(max_gifts_per_recipient)s, coalesce(%(sale_starts_at)s::timestamptz, now()), %(sale_ends_at)s,
          %(codes_expire_at)s, %(valid_days)s, %(cancel_days)s,
          CASE WHEN %(draft)s THEN 'DRAFT' ELSE 'ACTIVE' END, array_to_tsvector(%(words)s::text[])
        )
        """,
        id=voucher_id,
        words=words_of(new.title, new.description),
        **asdict(new) | {"benefit": new.benefit and Jsonb(new.benefit)},
    )
    await audit.record(
        connection, actor, "voucher.created", voucher_id, title=new.title, quantity=new.quantity
    )
    await remember_words(connection, new.title, new.description)
    await ask_for_codes(connection, [voucher_id], codes_ahead=codes_ahead)
    return await get_voucher(connection, voucher_id)


async def update_voucher(
    connection: Connection,
    *,
    actor: Caller,
    voucher_id: UUID,
    etag: str,
    changes: VoucherChanges,
    codes_ahead: int,
) -> VoucherRow:
    """Changes a voucher, has codes made that it now lacks, and returns it.

    Nothing is ordered while its row is locked. Where nothing is different, nothing is audited either. Raises
    VOUCHER_NOT_FOUND, ETAG_MISMATCH, VOUCHER_ARCHIVED, VOUCHER_HAS_CODES, VOUCHER_QUANTITY_TOO_SMALL, and
    VALIDATION_FAILED for prices, limits and windows that can not be.
    """
    before = await lock_voucher(connection, voucher_id)
    require_etag(etag, before.etag, of="voucher")
    if before.state == "ARCHIVED":
        raise voucher_archived(voucher_id)
    after = changes.applied_to(before)
    if after == before:
        return before
    require_possible(before, after)
    await _write(connection, after)
    await remember_words(connection, after.title, after.description)
    await audit.record(connection, actor, "voucher.updated", voucher_id, **differences(before, after))
    await ask_for_codes(connection, [voucher_id], codes_ahead=codes_ahead)
    return await get_voucher(connection, voucher_id)


async def _write(connection: Connection, after: VoucherRow) -> None:
    changed = await execute(
        connection,
        """
        UPDATE vouchers SET
          title = %(title)s, description = %(description)s, face_value_minor = %(face_value_minor)s,
          benefit = %(benefit)s, price_points = %(price_points)s, price_minor = %(price_minor)s,
          price_rule = %(price_rule)s, quantity = %(quantity)s, max_per_member = %(max_per_member)s,
          buy_type = %(buy_type)s, max_gifts_per_recipient = %(max_gifts_per_recipient)s,
          sale_starts_at = %(sale_starts_at)s, sale_ends_at = %(sale_ends_at)s,
          codes_expire_at = %(codes_expire_at)s, valid_days = %(valid_days)s, cancel_days = %(cancel_days)s,
          words = array_to_tsvector(%(words)s::text[]), version = version + 1
        WHERE id = %(id)s AND issued <= %(quantity)s
        """,
        **asdict(after) | {"benefit": after.benefit and Jsonb(after.benefit)},
        words=words_of(after.title, after.description),
    )
    if not changed:
        raise voucher_quantity_too_small(after.id, after.issued)


async def publish_voucher(
    connection: Connection,
    *,
    actor: Caller,
    voucher_id: UUID,
    etag: str,
    sale_starts_at: datetime | None,
    codes_ahead: int,
) -> VoucherRow:
    """Puts a voucher on sale, has codes made that it lacks, and returns it; a repetition changes nothing.

    `sale_starts_at` is the start of its sale, None as it says already. Raises VOUCHER_NOT_FOUND,
    ETAG_MISMATCH, VOUCHER_ARCHIVED, VOUCHER_SALE_OVER, and VALIDATION_FAILED for a start behind the end.
    """
    before = await lock_voucher(connection, voucher_id)
    require_etag(etag, before.etag, of="voucher")
    if before.state == "ARCHIVED":
        raise voucher_archived(voucher_id)
    starts_at, ends_at = sale_starts_at or before.sale_starts_at, before.sale_ends_at
    if before.published and starts_at == before.sale_starts_at:
        return before
    if ends_at and ends_at <= utc_now():
        raise voucher_sale_over(voucher_id, ends_at)
    if ends_at and ends_at <= starts_at:
        raise invalid_field("sale_starts_at", "must lie before sale_ends_at")
    await execute(
        connection,
        """
        UPDATE vouchers SET state = 'ACTIVE', sale_starts_at = %(starts_at)s, version = version + 1
        WHERE id = %(id)s
        """,
        id=voucher_id,
        starts_at=starts_at,
    )
    await audit.record(connection, actor, "voucher.published", voucher_id, sale_starts_at=starts_at)
    await ask_for_codes(connection, [voucher_id], codes_ahead=codes_ahead)
    return await get_voucher(connection, voucher_id)


OffSale = Literal["INACTIVE", "ARCHIVED"]


async def take_off_sale(
    connection: Connection, *, actor: Caller, voucher_id: UUID, etag: str, state: OffSale
) -> VoucherRow:
    """Takes a voucher off sale for now or for good, and returns it; when that is done, nothing changes.

    Raises VOUCHER_NOT_FOUND, ETAG_MISMATCH, and where it shall be INACTIVE VOUCHER_ARCHIVED and
    VOUCHER_NOT_PUBLISHED.
    """
    before = await lock_voucher(connection, voucher_id)
    require_etag(etag, before.etag, of="voucher")
    if before.state == state:
        return before
    if before.state == "ARCHIVED":
        raise voucher_archived(voucher_id)
    if before.state == "DRAFT" and state == "INACTIVE":
        raise voucher_not_published(voucher_id)
    await execute(
        connection,
        "UPDATE vouchers SET state = %(state)s, version = version + 1 WHERE id = %(id)s",
        id=voucher_id,
        state=state,
    )
    await audit.record(connection, actor, _action(state), voucher_id)
    return await get_voucher(connection, voucher_id)


def _action(state: OffSale) -> str:
    match state:
        case "INACTIVE":
            return "voucher.deactivated"
        case "ARCHIVED":
            return "voucher.archived"
        case _:
            assert_never(state)
