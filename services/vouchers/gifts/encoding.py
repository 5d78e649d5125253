"""Gifts as protobuf has them."""

from __future__ import annotations

from scrip.vouchers.v1 import gift_pb2, order_pb2

from services.common.encoding import read_name, read_optional_text, timestamp
from services.vouchers.catalogue.encoding import benefit, face_value
from services.vouchers.gifts.queries import GiftRow
from services.vouchers.gifts.recipients import Recipient

_STATE = "GIFT_STATE_"


def read_recipient(message: order_pb2.GiftRecipient) -> Recipient:
    """Returns to whom a gift is. Raises VALIDATION_FAILED."""
    return Recipient(
        message.phone_number,
        read_name(message.name, "name"),
        read_optional_text(message.message, "message", lines=True),
    )


def read_state(state: gift_pb2.GiftState.ValueType) -> str | None:
    """Returns a state as queries name it; None for the one that is no state."""
    return gift_pb2.GiftState.Name(state).removeprefix(_STATE) if state else None


def encode_given(row: GiftRow) -> gift_pb2.GivenGift:
    """Returns a gift as its giver sees it."""
    return gift_pb2.GivenGift(
        id=str(row.id),
        wallet_voucher_id=str(row.wallet_voucher_id),
        order_id=str(row.order_id or ""),
        voucher_id=str(row.voucher_id),
        title=row.title,
        state=_state(row),
        recipient_name=row.recipient_name,
        message=row.message,
        given_at=timestamp(row.given_at),
        returns_at=timestamp(row.returns_at),
        ended_at=timestamp(row.ended_at),
    )


def encode_received(row: GiftRow) -> gift_pb2.Gift:
    """Returns a gift as its recipient sees it."""
    return gift_pb2.Gift(
        id=str(row.id),
        voucher_id=str(row.voucher_id),
        title=row.title,
        face_value=face_value(row),
        benefit=benefit(row),
        state=_state(row),
        recipient_name=row.recipient_name,
        message=row.message,
        given_at=timestamp(row.given_at),
        returns_at=timestamp(row.returns_at),
        wallet_voucher_id=str(row.wallet_voucher_id) if row.state == "ACCEPTED" else "",
    )


def _state(row: GiftRow) -> gift_pb2.GiftState.ValueType:
    return gift_pb2.GiftState.Value(f"{_STATE}{row.state}")
