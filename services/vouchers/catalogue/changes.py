"""What an update changes of a voucher, and what it must not."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from services.common.errors import invalid_field
from services.vouchers.catalogue.queries import BuyType, PriceRule, VoucherRow
from services.vouchers.catalogue.refusals import voucher_has_codes

_EMPTIED: dict[str, tuple[str, object]] = {
    "description": ("description", ""),
    "price": ("price_minor", None),
    "sale_ends_at": ("sale_ends_at", None),
    "codes_expire_at": ("codes_expire_at", None),
}
"""What is put where when a field is emptied."""

_PROMISED = {
    "face_value_minor": "face_value",
    "benefit": "benefit",
    "codes_expire_at": "codes_expire_at",
    "valid_days": "valid_days",
}
"""What codes are made with, and how the contract calls it."""

_AUDITED = (
    *("title", "description", "price_points", "price_minor", "price_rule", "quantity", "max_per_member"),
    *("buy_type", "max_gifts_per_recipient", "sale_starts_at", "sale_ends_at", "cancel_days"),
    *_PROMISED,
)


@dataclass(frozen=True)
class VoucherChanges:
    """What shall be otherwise: None stays as it is, what is named in `clear` is emptied."""

    title: str | None = None
    description: str | None = None
    face_value_minor: int | None = None
    benefit: Mapping[str, Any] | None = None
    price_points: int | None = None
    price_minor: int | None = None
    price_rule: PriceRule | None = None
    quantity: int | None = None
    max_per_member: int | None = None
    buy_type: BuyType | None = None
    max_gifts_per_recipient: int | None = None
    sale_starts_at: datetime | None = None
    sale_ends_at: datetime | None = None
    codes_expire_at: datetime | None = None
    valid_days: int | None = None
    cancel_days: int | None = None
    clear: Collection[str] = ()

    def applied_to(self, row: VoucherRow) -> VoucherRow:
        """Returns the voucher as it shall be. A face value takes the place of a benefit, and the reverse."""
        names = [field.name for field in fields(self) if field.name != "clear"]
        values = {name: value for name in names if (value := getattr(self, name)) is not None}
        values |= dict(_EMPTIED[name] for name in self.clear)
        if self.face_value_minor is not None:
            values["benefit"] = None
        if self.benefit is not None:
            values["face_value_minor"] = None
        if self.quantity is not None:
            values["quantity_left"] = self.quantity - row.issued
        return replace(row, **values)


def require_possible(before: VoucherRow, after: VoucherRow) -> None:
    """Raises VOUCHER_HAS_CODES for what codes were made with, and VALIDATION_FAILED for what can not be."""
    if before.state != "DRAFT":
        for name, field in _PROMISED.items():
            if getattr(before, name) != getattr(after, name):
                raise voucher_has_codes(before.id, field)
    if not after.price_points and after.price_minor is None:
        raise invalid_field("price_points", "must be more than nothing without a price in money")
    if after.price_rule == "TOGETHER" and not (after.price_points and after.price_minor is not None):
        raise invalid_field("price_rule", "TOGETHER takes price_points and price")
    if after.max_gifts_per_recipient and after.buy_type != "GIFT":
        raise invalid_field("max_gifts_per_recipient", "takes the buy_type GIFT")
    if after.sale_ends_at and after.sale_ends_at <= after.sale_starts_at:
        raise invalid_field("sale_ends_at", "must lie after sale_starts_at")


def differences(before: VoucherRow, after: VoucherRow) -> dict[str, object]:
    """Returns what an audit entry tells of a change: of each field what it was and what it is."""
    both = {field: [getattr(before, field), getattr(after, field)] for field in _AUDITED}
    return {field: [was, now] for field, (was, now) in both.items() if was != now}
