"""Vouchers as protobuf has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from google.protobuf.json_format import MessageToDict, ParseDict
from scrip.common.v1 import money_pb2
from scrip.promos.v1 import code_pb2
from scrip.vouchers.v1 import catalogue_pb2, shop_pb2

from services.common.currencies import require_currency
from services.common.encoding import moment, read_optional_text, read_text, timestamp
from services.vouchers.catalogue.commands import NewVoucher
from services.vouchers.catalogue.queries import VoucherRow


class Benefiting(Protocol):
    """A row with what a code takes off."""

    @property
    def face_value_minor(self) -> int | None:
        """Minor units, None when that depends on the sale."""

    @property
    def currency_code(self) -> str:
        """The currency of the face value."""

    @property
    def benefit(self) -> Mapping[str, Any] | None:
        """A message of promos, None when codes take the face value off."""


def new_voucher(request: catalogue_pb2.CreateVoucherRequest, currency: str) -> NewVoucher:
    """Returns what staff want to offer.

    Raises VALIDATION_FAILED, and CURRENCY_NOT_SUPPORTED for amounts in another currency than the programme's.
    """
    return NewVoucher(
        title=read_text(request.title, "title"),
        description=read_optional_text(request.description, "description", lines=True),
        face_value_minor=read_amount(request, "face_value", currency),
        currency_code=currency,
        benefit=read_benefit(request.benefit, currency) if request.HasField("benefit") else None,
        price_points=request.price_points,
        price_minor=read_amount(request, "price", currency),
        price_rule="TOGETHER" if request.price_rule == catalogue_pb2.PRICE_RULE_TOGETHER else "EITHER",
        quantity=request.quantity,
        max_per_member=request.max_per_member,
        buy_type="GIFT" if request.buy_type == catalogue_pb2.BUY_TYPE_GIFT else "SELF",
        max_gifts_per_recipient=request.max_gifts_per_recipient,
        sale_starts_at=moment(request, "sale_starts_at"),
        sale_ends_at=moment(request, "sale_ends_at"),
        codes_expire_at=moment(request, "codes_expire_at"),
        valid_days=request.valid_days,
        cancel_days=request.cancel_days,
        draft=request.draft,
    )


def read_amount(request: Any, field: str, currency: str) -> int | None:
    """Returns an amount in minor units, None when not given. Raises CURRENCY_NOT_SUPPORTED."""
    if not request.HasField(field):
        return None
    amount: money_pb2.Money = getattr(request, field)
    require_currency(amount.currency_code, currency, of="vouchers")
    return amount.amount_minor


_BENEFIT_AMOUNTS = ("amount_off", "minimum_spend", "maximum_discount")


def read_benefit(message: code_pb2.Benefit, currency: str) -> dict[str, Any]:
    """Returns a benefit as the database keeps it. Raises CURRENCY_NOT_SUPPORTED."""
    for field in _BENEFIT_AMOUNTS:
        read_amount(message, field, currency)
    kept: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return kept


def benefit(row: Benefiting) -> code_pb2.Benefit:
    """Returns what a code of a voucher takes off."""
    if row.benefit is None:
        return code_pb2.Benefit(amount_off=face_value(row))
    return ParseDict(dict(row.benefit), code_pb2.Benefit())


def face_value(row: Benefiting) -> money_pb2.Money | None:
    """Returns what a code is worth at the till, None when that depends on the sale."""
    return money(row.face_value_minor, row.currency_code)


def money(minor: int | None, currency: str) -> money_pb2.Money | None:
    """Returns an amount; None stays None."""
    return None if minor is None else money_pb2.Money(currency_code=currency, amount_minor=minor)


def wanted_vouchers(request: catalogue_pb2.ListVouchersRequest) -> dict[str, object]:
    """Returns by what a list of vouchers is filtered."""
    return {
        "query": request.query or None,
        "on_sale": request.on_sale if request.HasField("on_sale") else None,
    }


def voucher(row: VoucherRow) -> catalogue_pb2.Voucher:
    """Returns a voucher as staff see it."""
    return catalogue_pb2.Voucher(
        id=str(row.id),
        title=row.title,
        description=row.description,
        face_value=face_value(row),
        price_points=row.price_points,
        quantity=row.quantity,
        quantity_left=row.quantity_left,
        sale_starts_at=timestamp(row.sale_starts_at),
        sale_ends_at=timestamp(row.sale_ends_at),
        codes_expire_at=timestamp(row.codes_expire_at),
        created_at=timestamp(row.created_at),
        state=catalogue_pb2.VoucherState.Value(f"VOUCHER_STATE_{row.state}"),
        price=money(row.price_minor, row.currency_code),
        price_rule=catalogue_pb2.PriceRule.Value(f"PRICE_RULE_{row.price_rule}"),
        benefit=benefit(row),
        max_per_member=row.max_per_member,
        buy_type=catalogue_pb2.BuyType.Value(f"BUY_TYPE_{row.buy_type}"),
        max_gifts_per_recipient=row.max_gifts_per_recipient,
        valid_days=row.valid_days,
        cancel_days=row.cancel_days,
    )


def offer(row: VoucherRow) -> shop_pb2.Offer:
    """Returns a voucher as members see it."""
    return shop_pb2.Offer(
        voucher_id=str(row.id),
        title=row.title,
        description=row.description,
        face_value=face_value(row),
        price_points=row.price_points,
        quantity_left=row.quantity_left,
        sale_ends_at=timestamp(row.sale_ends_at),
        codes_expire_at=timestamp(row.codes_expire_at),
        price=money(row.price_minor, row.currency_code),
        price_rule=catalogue_pb2.PriceRule.Value(f"PRICE_RULE_{row.price_rule}"),
        benefit=benefit(row),
        max_per_member=row.max_per_member,
        buy_type=catalogue_pb2.BuyType.Value(f"BUY_TYPE_{row.buy_type}"),
        max_gifts_per_recipient=row.max_gifts_per_recipient,
        valid_days=row.valid_days,
        cancel_days=row.cancel_days,
    )
