"""Vouchers as protobuf has them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from google.protobuf.json_format import MessageToDict, ParseDict
from scrip.common.v1 import money_pb2
from scrip.promos.v1 import code_pb2
from scrip.vouchers.v1 import catalogue_pb2, shop_pb2, voucher_image_pb2

from services.common.currencies import require_currency
from services.common.encoding import moment, read_optional_text, read_text, timestamp
from services.common.errors import invalid_field
from services.vouchers.catalogue.changes import VoucherChanges
from services.vouchers.catalogue.commands import NewVoucher
from services.vouchers.catalogue.images import VoucherImage, images_of
from services.vouchers.catalogue.queries import BuyType, PriceRule, VoucherRow


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
        price_rule=_PRICE_RULES[request.price_rule] or "EITHER",
        quantity=request.quantity,
        max_per_member=request.max_per_member,
        buy_type=_BUY_TYPES[request.buy_type] or "SELF",
        max_gifts_per_recipient=request.max_gifts_per_recipient,
        sale_starts_at=moment(request, "sale_starts_at"),
        sale_ends_at=moment(request, "sale_ends_at"),
        codes_expire_at=moment(request, "codes_expire_at"),
        valid_days=request.valid_days,
        cancel_days=request.cancel_days,
        draft=request.draft,
    )


def changes(request: catalogue_pb2.UpdateVoucherRequest, currency: str) -> VoucherChanges:
    """Returns what an update asks for.

    Raises VALIDATION_FAILED, for a field that is given and emptied too, and CURRENCY_NOT_SUPPORTED.
    """
    for field in request.clear:
        if request.HasField(field):  # type: ignore[arg-type]  # one of four fields, by validation
            raise invalid_field("clear", f"{field} can not be given and emptied at once")

    def given(field: str) -> Any:
        return getattr(request, field) if request.HasField(field) else None  # type: ignore[arg-type]  # so

    title, description = given("title"), given("description")
    return VoucherChanges(
        title=title and read_text(title, "title"),
        description=description and read_text(description, "description", lines=True),
        face_value_minor=read_amount(request, "face_value", currency),
        benefit=read_benefit(request.benefit, currency) if request.HasField("benefit") else None,
        price_points=given("price_points"),
        price_minor=read_amount(request, "price", currency),
        price_rule=_PRICE_RULES[request.price_rule],
        quantity=given("quantity"),
        max_per_member=given("max_per_member"),
        buy_type=_BUY_TYPES[request.buy_type],
        max_gifts_per_recipient=given("max_gifts_per_recipient"),
        sale_starts_at=moment(request, "sale_starts_at"),
        sale_ends_at=moment(request, "sale_ends_at"),
        codes_expire_at=moment(request, "codes_expire_at"),
        valid_days=given("valid_days"),
        cancel_days=given("cancel_days"),
        clear=list(request.clear),
    )


_PRICE_RULES: Mapping[int, PriceRule | None] = {
    catalogue_pb2.PRICE_RULE_UNSPECIFIED: None,
    catalogue_pb2.PRICE_RULE_EITHER: "EITHER",
    catalogue_pb2.PRICE_RULE_TOGETHER: "TOGETHER",
}
_BUY_TYPES: Mapping[int, BuyType | None] = {
    catalogue_pb2.BUY_TYPE_UNSPECIFIED: None,
    catalogue_pb2.BUY_TYPE_SELF: "SELF",
    catalogue_pb2.BUY_TYPE_GIFT: "GIFT",
}


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


_ListOrExport = catalogue_pb2.ListVouchersRequest | catalogue_pb2.ExportVouchersRequest


def wanted_vouchers(request: _ListOrExport) -> dict[str, object]:
    """Returns by what a list of vouchers is filtered, besides words."""
    wanted: dict[str, object] = {"buy_type": _BUY_TYPES[request.buy_type], **price_kind(request.payable_with)}
    if request.state:
        state = catalogue_pb2.VoucherState.Name(request.state).removeprefix("VOUCHER_STATE_")
        wanted[f"state_{state}"] = True
    if request.HasField("on_sale"):
        wanted["state_ON_SALE" if request.on_sale else "not_on_sale"] = True
    return wanted


def price_kind(kind: catalogue_pb2.PriceKind.ValueType) -> dict[str, object]:
    """Returns the filter for a kind of price; none for all kinds."""
    return {f"price_{catalogue_pb2.PriceKind.Name(kind).removeprefix('PRICE_KIND_')}": True} if kind else {}


def wanted_offers(request: shop_pb2.ListOffersRequest) -> dict[str, object]:
    """Returns by what a list of offers is filtered, besides words."""
    return {
        "on_sale": True,
        "max_points": request.max_points if request.HasField("max_points") else None,
        "available": request.available_only or None,
        **price_kind(request.payable_with),
    }


CSV_COLUMNS = (
    *("id", "title", "description", "state", "price_points", "price_minor", "price_rule"),
    *("face_value_minor", "currency_code", "quantity", "quantity_left", "max_per_member", "buy_type"),
    *("max_gifts_per_recipient", "sale_starts_at", "sale_ends_at", "codes_expire_at", "valid_days"),
    *("cancel_days", "created_at"),
)


def cells(row: VoucherRow) -> list[object]:
    """Returns a voucher as a line of a file."""
    return [_cell(getattr(row, column)) for column in CSV_COLUMNS]


def _cell(value: object) -> object:
    encoded = timestamp(value) if isinstance(value, datetime) else None
    return value if encoded is None else encoded.ToJsonString()


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
        etag=row.etag,
        images=map(_image, images_of(row)),
        codes=_codes(row),
    )


def _codes(row: VoucherRow) -> catalogue_pb2.VoucherCodes | None:
    if not row.codes_wanted:
        return None
    return catalogue_pb2.VoucherCodes(
        wanted=row.codes_wanted,
        made=row.codes_made,
        ready=row.codes_ready,
        making=row.codes_made < row.codes_wanted,
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
        images=map(_image, images_of(row)),
    )


def image_path(image_id: str) -> str:
    """Returns where an image is read."""
    return f"/v1/images/{image_id}"


def thumbnail_path(image_id: str | None) -> str:
    """Returns where the small copy of an image is read, or an empty text."""
    return f"{image_path(image_id)}?size=IMAGE_SIZE_THUMBNAIL" if image_id else ""


def _image(image: VoucherImage) -> voucher_image_pb2.VoucherImage:
    return voucher_image_pb2.VoucherImage(
        id=image.id,
        path=image_path(image.id),
        thumbnail_path=thumbnail_path(image.id),
        width=image.width,
        height=image.height,
        content_type=image.content_type,
    )
