"""Vouchers as protobuf has them."""

from __future__ import annotations

from scrip.common.v1 import money_pb2
from scrip.vouchers.v1 import catalogue_pb2, shop_pb2

from services.common.encoding import moment, read_optional_text, read_text, timestamp
from services.vouchers.catalogue.commands import NewVoucher
from services.vouchers.catalogue.queries import VoucherRow


def new_voucher(request: catalogue_pb2.CreateVoucherRequest) -> NewVoucher:
    """Returns what staff want to offer. Raises VALIDATION_FAILED."""
    return NewVoucher(
        title=read_text(request.title, "title"),
        description=read_optional_text(request.description, "description", lines=True),
        face_value_minor=request.face_value.amount_minor,
        currency_code=request.face_value.currency_code,
        price_points=request.price_points,
        quantity=request.quantity,
        sale_starts_at=moment(request, "sale_starts_at"),
        sale_ends_at=moment(request, "sale_ends_at"),
        codes_expire_at=moment(request, "codes_expire_at"),
    )


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
        face_value=money_pb2.Money(currency_code=row.currency_code, amount_minor=row.face_value_minor),
        price_points=row.price_points,
        quantity=row.quantity,
        quantity_left=row.quantity_left,
        sale_starts_at=timestamp(row.sale_starts_at),
        sale_ends_at=timestamp(row.sale_ends_at),
        codes_expire_at=timestamp(row.codes_expire_at),
        created_at=timestamp(row.created_at),
    )


def offer(row: VoucherRow) -> shop_pb2.Offer:
    """Returns a voucher as members see it."""
    return shop_pb2.Offer(
        voucher_id=str(row.id),
        title=row.title,
        description=row.description,
        face_value=money_pb2.Money(currency_code=row.currency_code, amount_minor=row.face_value_minor),
        price_points=row.price_points,
        quantity_left=row.quantity_left,
        sale_ends_at=timestamp(row.sale_ends_at),
        codes_expire_at=timestamp(row.codes_expire_at),
    )
