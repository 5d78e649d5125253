"""Vouchers' rows as protobuf has them."""

from __future__ import annotations

from scrip.common.v1 import money_pb2
from scrip.vouchers.v1 import catalogue_pb2, order_pb2, shop_pb2, wallet_pb2

from services.common.encoding import timestamp
from services.vouchers.clients import Code
from services.vouchers.queries import OrderRow, VoucherRow, WalletRow


def voucher(row: VoucherRow) -> catalogue_pb2.Voucher:
    """A voucher as staff see it."""
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
    """A voucher as members see it."""
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


def order(row: OrderRow) -> order_pb2.Order:
    """An order."""
    return order_pb2.Order(
        id=str(row.id),
        voucher_id=str(row.voucher_id),
        state=order_pb2.OrderState.Value(f"ORDER_STATE_{row.state}"),
        price_points=row.price_points,
        wallet_voucher_id=str(row.wallet_voucher_id or ""),
        failure_reason=row.failure_reason or "",
        placed_at=timestamp(row.placed_at),
    )


def wallet_voucher(row: WalletRow, code: Code) -> wallet_pb2.WalletVoucher:
    """A voucher that a member owns."""
    return wallet_pb2.WalletVoucher(
        id=str(row.id),
        voucher_id=str(row.voucher_id),
        order_id=str(row.order_id),
        title=row.title,
        face_value=money_pb2.Money(currency_code=row.currency_code, amount_minor=row.face_value_minor),
        code=code.text,
        status=wallet_pb2.WalletVoucherStatus.Value(f"WALLET_VOUCHER_STATUS_{code.state}"),
        acquired_at=timestamp(row.acquired_at),
        expires_at=timestamp(row.expires_at),
    )
