"""Redemptions as protobuf has them."""

from __future__ import annotations

from uuid import UUID

from scrip.common.v1 import money_pb2
from scrip.promos.v1 import code_pb2

from services.common.encoding import timestamp
from services.promos.benefit_encoding import encode_benefit
from services.promos.codes.patterns import display_code
from services.promos.codes.queries import BrandRedemptionRow, RedemptionRow


def encode_redemption(row: RedemptionRow) -> code_pb2.Redemption:
    """Returns a redemption as messages have it."""
    return code_pb2.Redemption(
        id=str(row.id),
        code_id=str(row.code_id),
        sale_reference=row.sale_reference,
        benefit=encode_benefit(row.benefit),
        redeemed_at=timestamp(row.redeemed_at),
        cancelled_at=timestamp(row.cancelled_at),
        till_number=row.till_number,
        redeemed_by=str(row.redeemed_by),
        code_set_id=str(row.code_set_id),
        member_id=_id(row.member_id),
        cancelled_by=_id(row.cancelled_by),
        discount=_discount(row),
    )


def encode_brand_redemption(row: BrandRedemptionRow) -> code_pb2.BrandRedemption:
    """Returns a redemption as the code's brand sees it."""
    return code_pb2.BrandRedemption(
        id=str(row.id),
        code_set_id=str(row.code_set_id),
        code_id=str(row.code_id),
        code=row.code,
        code_display=display_code(row.code, row.pattern),
        member_id=_id(row.member_id),
        redeemed_at=timestamp(row.redeemed_at),
        cancelled_at=timestamp(row.cancelled_at),
        discount=_discount(row),
    )


def _id(value: UUID | None) -> str:
    return str(value) if value else ""


def _discount(row: RedemptionRow | BrandRedemptionRow) -> money_pb2.Money | None:
    if row.discount_minor is None:
        return None
    return money_pb2.Money(currency_code=row.discount_currency or "", amount_minor=row.discount_minor)
