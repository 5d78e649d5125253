"""What vouchers' tests ask the fixtures for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from scrip.vouchers.v1 import catalogue_pb2, order_pb2

from tests.inprocess import Member

Earn = Callable[[Member, int], Awaitable[None]]
Create = Callable[..., Awaitable[catalogue_pb2.Voucher]]
Order = Callable[..., Awaitable[order_pb2.PlaceOrderResponse]]


def without_codes(voucher: catalogue_pb2.Voucher) -> catalogue_pb2.Voucher:
    """Returns a voucher as it is, however many of its codes are made by now."""
    copy = catalogue_pb2.Voucher()
    copy.CopyFrom(voucher)
    copy.ClearField("codes")
    return copy
